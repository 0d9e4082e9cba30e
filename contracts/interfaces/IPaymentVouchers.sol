// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IOstrakaToken} from "./IOstrakaToken.sol";
import {IParams} from "./IParams.sol";

/// @title PaymentVouchers: paying for many small things with one transaction.
/// @notice A payer deposits tokens for one receiver and signs vouchers off chain, each for everything that is owed so far.
/// The receiver keeps the newest one and collects what it has not been paid yet, whenever it likes. Nobody else can spend a
/// deposit, so a voucher within it is as good as money. What the payer takes back thaws first, in reach of vouchers; the
/// receiver has that long to collect. Of what is collected the protocol fee goes to the treasury, as in the market. Windows are
/// half-open. The contract holds exactly the sum of all deposits and of the fees that wait for the treasury.
interface IPaymentVouchers {
    /// @notice What a payer signs: EIP-712 `Voucher(address payer,address receiver,bytes32 collectionId,uint128 cumulativeAmount)`.
    /// @param collectionId what the payment is for, chosen by payer and receiver: a session, or all business between them
    /// @param cumulativeAmount everything ever owed for `collectionId`, in wei of the token; a newer voucher has a larger one
    struct Voucher {
        address payer;
        address receiver;
        bytes32 collectionId;
        uint128 cumulativeAmount;
    }

    /// @param available in reach of vouchers, and not thawing
    /// @param thawing on its way back to the payer; still in reach of vouchers
    /// @param thawedAt timestamp from which `withdraw` pays `thawing` out
    struct Deposit {
        uint128 available;
        uint128 thawing;
        uint40 thawedAt;
    }

    /// @notice Vouchers of this payer for this receiver are good for more, by wei of the token.
    event Deposited(address indexed payer, address indexed receiver, uint256 amount);
    /// @notice The payer takes some back: the receiver should collect before `thawedAt`.
    /// @param amount wei of the token that join what thaws already
    event ThawRequested(address indexed payer, address indexed receiver, uint256 amount, uint256 thawedAt);
    /// @notice All that thawed is available again.
    event ThawCancelled(address indexed payer, address indexed receiver, uint256 amount);
    /// @notice The payer got back what had thawed.
    event DepositWithdrawn(address indexed payer, address indexed receiver, uint256 amount);
    /// @notice The receiver was paid what the voucher is worth beyond earlier ones.
    /// @param signer whose signature it was: the payer, or one it had authorised
    /// @param paid what it took of the deposit
    /// @param fee the part of it that is the protocol's; the receiver got the rest
    event VoucherCollected(
        address indexed payer,
        address indexed receiver,
        bytes32 indexed collectionId,
        address signer,
        uint256 cumulativeAmount,
        uint256 paid,
        uint256 fee
    );
    /// @notice The treasury was sent the fees taken so far.
    event FeesWithdrawn(address indexed treasury, uint256 amount);
    /// @notice Vouchers that `signer` signs count as the payer's.
    event SignerAuthorized(address indexed payer, address indexed signer);
    /// @notice They count until `validUntil`: the receiver should collect before.
    event SignerRevoked(address indexed payer, address indexed signer, uint256 validUntil);

    /// @notice Receivers need some time to collect before deposits are gone.
    error ThawPeriodTooShort(uint40 thawPeriod, uint40 minThawPeriod);
    /// @notice An address that is needed was left out.
    error ZeroAddress();
    /// @notice The amount must be above 0.
    error ZeroAmount();
    /// @notice A deposit can hold `maxAmount` more, in wei of the token.
    error DepositTooLarge(uint256 amount, uint256 maxAmount);
    /// @notice No more than is available can thaw.
    error InsufficientDeposit(address payer, address receiver, uint256 amount, uint256 available);
    /// @notice Nothing thaws; `requestThaw` starts it.
    error NothingThawing(address payer, address receiver);
    /// @notice It can be withdrawn from `thawedAt` on.
    error StillThawing(address payer, address receiver, uint256 thawedAt, uint256 nowAt);
    /// @notice Only the voucher's receiver collects it.
    error NotReceiver(address caller, address receiver);
    /// @notice The voucher was signed neither by the payer nor by a signer that counts now.
    error BadVoucherSignature(address recovered, address payer);
    /// @notice As much or more was collected before; ask the payer for a newer voucher.
    error NothingOwed(bytes32 collectionId, uint256 cumulativeAmount, uint256 collected);
    /// @notice The payer has nothing deposited for this receiver; the voucher stays good for when it has.
    error DepositEmpty(address payer, address receiver);
    /// @notice The signer counts already, without an end.
    error AlreadyAuthorized(address payer, address signer);
    /// @notice The signer does not count, or has been given an end before.
    error NotAuthorized(address payer, address signer);
    /// @notice There are no fees to send.
    error NoFees();

    /// @notice Adds `amount` of the caller's tokens to its deposit for `receiver`.
    function deposit(address receiver, uint256 amount) external;

    /// @notice Starts thawing `amount` of what is available. What thaws already joins it and waits anew. By the payer.
    function requestThaw(address receiver, uint256 amount) external;

    /// @notice Makes available again all that thaws. By the payer.
    function cancelThaw(address receiver) external;

    /// @notice Pays out what has thawed, from `thawedAt` on. By the payer.
    function withdraw(address receiver) external returns (uint256 amount);

    /// @notice Lets `signer` sign vouchers in the caller's name: a hot key for a cold one. Takes a revocation back.
    function authorizeSigner(address signer) external;

    /// @notice Ends that, as late as a thaw begun now would end: what was signed can be collected until then. By the payer.
    function revokeSigner(address signer) external;

    /// @notice Pays the caller, who is the voucher's receiver, what the voucher is worth beyond what was collected before: all
    /// of it, or as much as is deposited, the rest when there is more; less the protocol fee in force. Takes what is available
    /// before what thaws.
    /// @param signature of the payer, or of a signer it authorised
    /// @return paid what it took of the deposit, the fee included
    function collect(Voucher calldata voucher, bytes calldata signature) external returns (uint256 paid);

    /// @notice Sends the treasury the fees taken so far. By anyone.
    function withdrawFees() external returns (uint256 amount);

    /// @notice What a payer has deposited for a receiver, in wei of the token.
    function depositOf(address payer, address receiver) external view returns (Deposit memory);

    /// @notice What left the deposit so far for a collection, in wei of the token, fees included.
    function collectedOf(address payer, address receiver, bytes32 collectionId) external view returns (uint256);

    /// @notice What `collect` would take of the deposit for the voucher now, if its signature is good.
    function collectable(Voucher calldata voucher) external view returns (uint256);

    /// @notice Timestamp before which vouchers that `signer` signed for `payer` can be collected; 0 for one never authorised.
    function validUntil(address payer, address signer) external view returns (uint256);

    /// @notice The EIP-712 digest that is signed.
    function hashVoucher(Voucher calldata voucher) external view returns (bytes32);

    /// @notice Fees that wait for the treasury.
    function feesHeld() external view returns (uint256);

    /// @notice Whose `protocolFeeBps` is taken: of the set in force when a voucher is collected.
    function params() external view returns (IParams);

    /// @notice Whose the protocol's fees are.
    function treasury() external view returns (address);

    /// @notice What is deposited and paid.
    function token() external view returns (IOstrakaToken);

    /// @notice Seconds between `requestThaw` and `withdraw`: what receivers have to collect. At least 60.
    function thawPeriod() external view returns (uint40);
}
