// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IOstrakaToken} from "./interfaces/IOstrakaToken.sol";
import {IParams} from "./interfaces/IParams.sol";
import {IPaymentVouchers} from "./interfaces/IPaymentVouchers.sol";
import {PayoutLib} from "./libraries/PayoutLib.sol";
import {SignatureLib} from "./libraries/SignatureLib.sol";

/// @title See IPaymentVouchers.
contract PaymentVouchers is IPaymentVouchers, EIP712 {
    using SafeERC20 for IOstrakaToken;

    uint40 private constant MIN_THAW_PERIOD = 60;
    bytes32 private constant VOUCHER_TYPEHASH =
        keccak256("Voucher(address payer,address receiver,bytes32 collectionId,uint128 cumulativeAmount)");

    /// @inheritdoc IPaymentVouchers
    IOstrakaToken public immutable token;
    /// @inheritdoc IPaymentVouchers
    uint40 public immutable thawPeriod;
    /// @inheritdoc IPaymentVouchers
    IParams public immutable params;
    /// @inheritdoc IPaymentVouchers
    address public immutable treasury;
    /// @inheritdoc IPaymentVouchers
    uint256 public feesHeld;
    /// @inheritdoc IPaymentVouchers
    mapping(address payer => mapping(address signer => uint256 timestamp)) public validUntil;
    /// @inheritdoc IPaymentVouchers
    mapping(address payer => mapping(address receiver => mapping(bytes32 collectionId => uint256 amount))) public
        collectedOf;

    mapping(address payer => mapping(address receiver => Deposit)) private _deposits;

    constructor(IOstrakaToken token_, uint40 thawPeriod_, IParams params_, address treasury_) EIP712("Ostraka", "1") {
        if (address(token_) == address(0) || address(params_) == address(0) || treasury_ == address(0)) {
            revert ZeroAddress();
        }
        if (thawPeriod_ < MIN_THAW_PERIOD) revert ThawPeriodTooShort(thawPeriod_, MIN_THAW_PERIOD);
        token = token_;
        thawPeriod = thawPeriod_;
        params = params_;
        treasury = treasury_;
    }

    /// @inheritdoc IPaymentVouchers
    function deposit(address receiver, uint256 amount) external {
        Deposit storage entry = _deposits[msg.sender][receiver];
        if (receiver == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        // Available and thawing together stay below 2^128, so that a thaw can always be cancelled.
        uint256 room = type(uint128).max - uint256(entry.available) - entry.thawing;
        if (amount > room) revert DepositTooLarge(amount, room);

        entry.available += uint128(amount);
        emit Deposited(msg.sender, receiver, amount);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IPaymentVouchers
    function requestThaw(address receiver, uint256 amount) external {
        Deposit storage entry = _deposits[msg.sender][receiver];
        if (amount == 0) revert ZeroAmount();
        if (amount > entry.available) revert InsufficientDeposit(msg.sender, receiver, amount, entry.available);

        entry.available -= uint128(amount);
        entry.thawing += uint128(amount);
        entry.thawedAt = uint40(block.timestamp) + thawPeriod;
        emit ThawRequested(msg.sender, receiver, amount, entry.thawedAt);
    }

    /// @inheritdoc IPaymentVouchers
    function cancelThaw(address receiver) external {
        Deposit storage entry = _deposits[msg.sender][receiver];
        uint128 amount = entry.thawing;
        if (amount == 0) revert NothingThawing(msg.sender, receiver);

        entry.thawing = 0;
        entry.available += amount;
        emit ThawCancelled(msg.sender, receiver, amount);
    }

    /// @inheritdoc IPaymentVouchers
    function withdraw(address receiver) external returns (uint256 amount) {
        Deposit storage entry = _deposits[msg.sender][receiver];
        amount = entry.thawing;
        if (amount == 0) revert NothingThawing(msg.sender, receiver);
        if (block.timestamp < entry.thawedAt) {
            revert StillThawing(msg.sender, receiver, entry.thawedAt, block.timestamp);
        }

        entry.thawing = 0;
        emit DepositWithdrawn(msg.sender, receiver, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IPaymentVouchers
    function authorizeSigner(address signer) external {
        if (signer == address(0)) revert ZeroAddress();
        if (validUntil[msg.sender][signer] == type(uint256).max) revert AlreadyAuthorized(msg.sender, signer);

        validUntil[msg.sender][signer] = type(uint256).max;
        emit SignerAuthorized(msg.sender, signer);
    }

    /// @inheritdoc IPaymentVouchers
    function revokeSigner(address signer) external {
        // Revoking twice would push the end away, which is nobody's wish: only a signer without an end is revoked.
        if (validUntil[msg.sender][signer] != type(uint256).max) revert NotAuthorized(msg.sender, signer);

        uint256 end = block.timestamp + thawPeriod;
        validUntil[msg.sender][signer] = end;
        emit SignerRevoked(msg.sender, signer, end);
    }

    /// @inheritdoc IPaymentVouchers
    function collect(Voucher calldata voucher, bytes calldata signature) external returns (uint256 paid) {
        if (msg.sender != voucher.receiver) revert NotReceiver(msg.sender, voucher.receiver);
        address signer = _checkSigner(voucher, signature);
        uint256 collected = collectedOf[voucher.payer][voucher.receiver][voucher.collectionId];
        if (voucher.cumulativeAmount <= collected) {
            revert NothingOwed(voucher.collectionId, voucher.cumulativeAmount, collected);
        }
        Deposit storage entry = _deposits[voucher.payer][voucher.receiver];
        (uint128 available, uint128 thawing) = (entry.available, entry.thawing);
        paid = Math.min(voucher.cumulativeAmount - collected, uint256(available) + thawing);
        if (paid == 0) revert DepositEmpty(voucher.payer, voucher.receiver);

        uint256 fromAvailable = Math.min(paid, available);
        entry.available = uint128(available - fromAvailable);
        entry.thawing = uint128(thawing - (paid - fromAvailable));
        collectedOf[voucher.payer][voucher.receiver][voucher.collectionId] = collected + paid;
        _payOut(voucher, signer, paid);
    }

    /// @inheritdoc IPaymentVouchers
    function withdrawFees() external returns (uint256 amount) {
        amount = feesHeld;
        if (amount == 0) revert NoFees();

        feesHeld = 0;
        emit FeesWithdrawn(treasury, amount);
        token.safeTransfer(treasury, amount);
    }

    /// @inheritdoc IPaymentVouchers
    function depositOf(address payer, address receiver) external view returns (Deposit memory) {
        return _deposits[payer][receiver];
    }

    /// @inheritdoc IPaymentVouchers
    function collectable(Voucher calldata voucher) external view returns (uint256) {
        uint256 collected = collectedOf[voucher.payer][voucher.receiver][voucher.collectionId];
        if (voucher.cumulativeAmount <= collected) return 0;
        Deposit storage entry = _deposits[voucher.payer][voucher.receiver];
        return Math.min(voucher.cumulativeAmount - collected, uint256(entry.available) + entry.thawing);
    }

    /// @inheritdoc IPaymentVouchers
    function hashVoucher(Voucher calldata voucher) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    VOUCHER_TYPEHASH, voucher.payer, voucher.receiver, voucher.collectionId, voucher.cumulativeAmount
                )
            )
        );
    }

    function _payOut(Voucher calldata voucher, address signer, uint256 paid) private {
        uint256 fee = PayoutLib.bps(paid, params.current().protocolFeeBps);
        if (fee != 0) feesHeld += fee;
        emit VoucherCollected(
            voucher.payer, voucher.receiver, voucher.collectionId, signer, voucher.cumulativeAmount, paid, fee
        );
        token.safeTransfer(voucher.receiver, paid - fee);
    }

    /// @dev The payer is a signed field, so a signer may serve many payers and needs no proof of possession. What is no
    /// signature recovers the zero address, which deposits nothing and cannot be authorised.
    function _checkSigner(Voucher calldata voucher, bytes calldata signature) private view returns (address signer) {
        signer = SignatureLib.recover(hashVoucher(voucher), signature);
        if (signer == voucher.payer && signer != address(0)) return signer;
        if (block.timestamp >= validUntil[voucher.payer][signer]) revert BadVoucherSignature(signer, voucher.payer);
    }
}
