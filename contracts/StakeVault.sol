// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IOstrakaToken} from "./interfaces/IOstrakaToken.sol";
import {IStakeVault} from "./interfaces/IStakeVault.sol";

/// @title See IStakeVault.
contract StakeVault is IStakeVault {
    using SafeERC20 for IOstrakaToken;

    /// @dev `locks` is the sum of the open locks. A slash may leave less stake than that; the locks stay due, so that
    /// one of them ending does not free what the others need. The first three fields share a slot.
    struct Position {
        uint96 staked;
        uint96 locks;
        uint32 operatorId;
        uint96 unbonding;
        uint40 unlockAt;
    }

    /// @inheritdoc IStakeVault
    IOstrakaToken public immutable token;
    /// @inheritdoc IStakeVault
    uint40 public immutable unbondingPeriod;
    /// @inheritdoc IStakeVault
    mapping(address caller => bool) public isModule;

    address private immutable _deployer;
    bool private _initialized;
    uint32 private _operatorCount;
    mapping(address operator => Position) private _positions;

    modifier onlyModule() {
        if (!isModule[msg.sender]) revert NotModule(msg.sender);
        _;
    }

    constructor(IOstrakaToken token_, uint40 unbondingPeriod_) {
        token = token_;
        unbondingPeriod = unbondingPeriod_;
        _deployer = msg.sender;
    }

    /// @inheritdoc IStakeVault
    function initialize(address[] calldata modules) external {
        if (msg.sender != _deployer) revert NotDeployer(msg.sender, _deployer);
        if (_initialized) revert AlreadyInitialized();
        if (modules.length == 0) revert NoModules();

        _initialized = true;
        for (uint256 i = 0; i < modules.length; ++i) {
            if (modules[i] == address(0)) revert ZeroAddress();
            isModule[modules[i]] = true;
        }
        emit Initialized(modules);
    }

    /// @inheritdoc IStakeVault
    function stake(uint256 amount) external {
        Position storage position = _positions[msg.sender];
        if (amount == 0) revert ZeroAmount();
        uint256 staked = position.staked + amount;
        if (staked > type(uint96).max) revert AmountTooLarge(amount, type(uint96).max - position.staked);

        if (position.operatorId == 0) position.operatorId = ++_operatorCount;
        position.staked = uint96(staked);
        emit Staked(msg.sender, amount);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IStakeVault
    function requestUnstake(uint256 amount) external {
        Position storage position = _positions[msg.sender];
        if (amount == 0) revert ZeroAmount();
        uint256 available = _free(position);
        if (amount > available) revert InsufficientFreeStake(msg.sender, amount, available);
        uint256 unbonding = position.unbonding + amount;
        if (unbonding > type(uint96).max) revert AmountTooLarge(amount, type(uint96).max - position.unbonding);

        position.staked -= uint96(amount);
        position.unbonding = uint96(unbonding);
        position.unlockAt = uint40(block.timestamp) + unbondingPeriod;
        emit UnstakeRequested(msg.sender, amount, position.unlockAt);
    }

    /// @inheritdoc IStakeVault
    function withdraw() external returns (uint256 amount) {
        Position storage position = _positions[msg.sender];
        amount = position.unbonding;
        if (amount == 0) revert NothingUnbonding(msg.sender);
        if (block.timestamp < position.unlockAt) {
            revert StillUnbonding(msg.sender, position.unlockAt, block.timestamp);
        }

        position.unbonding = 0;
        emit StakeWithdrawn(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IStakeVault
    function lock(address operator, uint256 amount) external onlyModule returns (uint32 operatorId) {
        Position storage position = _positions[operator];
        uint256 available = _free(position);
        if (amount > available) revert InsufficientFreeStake(operator, amount, available);

        position.locks += uint96(amount);
        operatorId = position.operatorId;
    }

    /// @inheritdoc IStakeVault
    function unlock(address operator, uint256 amount) external onlyModule {
        Position storage position = _positions[operator];
        amount = Math.min(amount, position.locks);
        position.locks -= uint96(amount);
    }

    /// @inheritdoc IStakeVault
    function slash(address operator, uint256 amount) external onlyModule returns (uint256 slashed) {
        Position storage position = _positions[operator];
        (uint256 staked, uint256 unbonding) = (position.staked, position.unbonding);
        slashed = Math.min(amount, staked + unbonding);
        // Unbonding stake goes before locked stake: what other jobs rely on is touched last.
        uint256 beyondFree = slashed - Math.min(slashed, _free(position));
        uint256 fromUnbonding = Math.min(beyondFree, unbonding);

        position.staked = uint96(staked - (slashed - fromUnbonding));
        if (fromUnbonding != 0) position.unbonding = uint96(unbonding - fromUnbonding);
        emit StakeSlashed(operator, slashed);
        if (slashed != 0) token.safeTransfer(msg.sender, slashed);
    }

    /// @inheritdoc IStakeVault
    function account(address operator) external view returns (Account memory) {
        Position storage position = _positions[operator];
        return Account({
            staked: position.staked,
            locked: Math.min(position.locks, position.staked),
            unbonding: position.unbonding,
            unlockAt: position.unlockAt
        });
    }

    /// @inheritdoc IStakeVault
    function free(address operator) external view returns (uint256) {
        return _free(_positions[operator]);
    }

    /// @inheritdoc IStakeVault
    function operatorIdOf(address operator) external view returns (uint32) {
        return _positions[operator].operatorId;
    }

    function _free(Position storage position) private view returns (uint256) {
        (uint256 staked, uint256 locks) = (position.staked, position.locks);
        return staked > locks ? staked - locks : 0;
    }
}
