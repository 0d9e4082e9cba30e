// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {Entries} from "./access/Entries.sol";
import {IOstrakaToken} from "./interfaces/IOstrakaToken.sol";
import {IStakeVault} from "./interfaces/IStakeVault.sol";

/// @title See IStakeVault.
contract StakeVault is IStakeVault, Entries {
    using SafeERC20 for IOstrakaToken;

    uint256 private constant MAX_TRANCHES = 8; // a slash walks through all of them

    /// @dev One slot. `locks` is the sum of the open locks. A slash may leave less stake than that; the locks stay due, so
    /// that one of them ending does not free what the others need.
    struct Position {
        uint96 staked;
        uint96 locks;
        uint16 score;
    }

    uint32 private _operatorCount;
    bool private _initialized;
    /// @inheritdoc IStakeVault
    IOstrakaToken public immutable token;
    /// @inheritdoc IStakeVault
    uint40 public immutable unbondingPeriod;
    /// @inheritdoc IStakeVault
    address public immutable market;
    /// @inheritdoc IStakeVault
    mapping(address operator => uint32 operatorId) public operatorIdOf;

    address private immutable _deployer;
    mapping(address caller => bool) private _modules;
    mapping(uint32 operatorId => Position) private _positions;
    mapping(uint32 operatorId => Tranche[]) private _tranches;

    modifier onlyModule() {
        if (!isModule(msg.sender)) revert NotModule(msg.sender);
        _;
    }

    /// @param market_ the module that calls with every commit: it is known without a look into the storage, and its address
    /// follows from the deployer's nonce before it is there
    constructor(IOstrakaToken token_, uint40 unbondingPeriod_, address market_) {
        token = token_;
        market = market_;
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
            _modules[modules[i]] = true;
        }
        emit Initialized(modules);
    }

    /// @inheritdoc IStakeVault
    function stake(uint256 amount) external whenOpen {
        if (amount == 0) revert ZeroAmount();
        _stake(msg.sender, _enroll(msg.sender), amount);
    }

    /// @inheritdoc IStakeVault
    function enroll(address operator, uint256 amount) external onlyModule whenOpen returns (uint32 operatorId) {
        operatorId = _enroll(operator);
        if (amount != 0) _stake(operator, operatorId, amount);
    }

    /// @inheritdoc IStakeVault
    function requestUnstake(uint256 amount) external {
        uint32 operatorId = operatorIdOf[msg.sender];
        Position storage position = _positions[operatorId];
        if (amount == 0) revert ZeroAmount();
        uint256 available = _free(position);
        if (amount > available) revert InsufficientFreeStake(msg.sender, amount, available);
        if (_tranches[operatorId].length == MAX_TRANCHES) revert TooManyTranches(msg.sender, MAX_TRANCHES);

        uint40 unlockAt = uint40(block.timestamp) + unbondingPeriod;
        position.staked -= uint96(amount);
        _tranches[operatorId].push(Tranche(uint96(amount), unlockAt));
        emit UnstakeRequested(msg.sender, amount, unlockAt);
    }

    /// @inheritdoc IStakeVault
    function withdraw() external returns (uint256 amount) {
        Tranche[] storage queue = _tranches[operatorIdOf[msg.sender]];
        uint256 count = queue.length;
        if (count == 0) revert NothingUnbonding(msg.sender);
        uint256 ripe = 0;
        for (; ripe < count && queue[ripe].unlockAt <= block.timestamp; ++ripe) amount += queue[ripe].amount;
        if (ripe == 0) revert StillUnbonding(msg.sender, queue[0].unlockAt, block.timestamp);

        for (uint256 i = ripe; i < count; ++i) queue[i - ripe] = queue[i];
        for (uint256 i = 0; i < ripe; ++i) queue.pop();
        emit StakeWithdrawn(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IStakeVault
    function lock(address operator, uint256 amount) external onlyModule returns (uint32 operatorId) {
        operatorId = operatorIdOf[operator];
        Position storage position = _positions[operatorId];
        uint256 available = _free(position);
        if (amount > available) revert InsufficientFreeStake(operator, amount, available);
        position.locks += uint96(amount);
    }

    /// @inheritdoc IStakeVault
    function lockAll(uint32[] calldata operatorIds, uint256 amount) external onlyModule {
        for (uint256 i = 0; i < operatorIds.length; ++i) {
            Position storage position = _positions[operatorIds[i]];
            (uint256 staked, uint256 locks) = (position.staked, position.locks);
            // Locks may exceed what a slash has left.
            uint256 available = staked > locks ? staked - locks : 0;
            if (amount > available) revert FreeStakeTooLow(operatorIds[i], amount, available);
            position.locks = uint96(locks + amount);
        }
    }

    /// @inheritdoc IStakeVault
    function unlock(address operator, uint256 amount) external onlyModule {
        Position storage position = _positions[operatorIdOf[operator]];
        position.locks = _left(position.locks, amount);
    }

    /// @inheritdoc IStakeVault
    function unlockAll(uint32[] calldata operatorIds, uint256 amount, bool verified) external onlyModule {
        for (uint256 i = 0; i < operatorIds.length; ++i) {
            Position storage position = _positions[operatorIds[i]];
            (uint256 locks, uint256 score) = (position.locks, position.score);
            if (verified && score != type(uint16).max) ++score;
            position.locks = _left(locks, amount);
            position.score = uint16(score);
        }
    }

    /// @inheritdoc IStakeVault
    function slash(address operator, uint256 amount) external onlyModule returns (uint256 slashed) {
        uint32 operatorId = operatorIdOf[operator];
        Position storage position = _positions[operatorId];
        (uint256 staked, uint256 available) = (position.staked, _free(position));
        // Unbonding stake goes before locked stake: what other work relies on is touched last.
        uint256 fromFree = Math.min(amount, available);
        uint256 fromTranches = _takeTranches(operatorId, amount - fromFree);
        uint256 fromLocked = Math.min(amount - fromFree - fromTranches, staked - fromFree);

        position.staked = uint96(staked - fromFree - fromLocked);
        position.score = uint16(uint256(position.score) * 2 / 3);
        slashed = fromFree + fromTranches + fromLocked;
        emit StakeSlashed(operator, slashed);
        if (slashed != 0) token.safeTransfer(msg.sender, slashed);
    }

    /// @inheritdoc IStakeVault
    function isModule(address caller) public view returns (bool) {
        return caller == market || _modules[caller];
    }

    /// @inheritdoc IStakeVault
    function account(address operator) external view returns (Account memory seen) {
        uint32 operatorId = operatorIdOf[operator];
        Position storage position = _positions[operatorId];
        Tranche[] storage queue = _tranches[operatorId];
        seen.staked = position.staked;
        seen.locked = Math.min(position.locks, position.staked);
        for (uint256 i = 0; i < queue.length; ++i) seen.unbonding += queue[i].amount;
        if (queue.length != 0) seen.unlockAt = queue[0].unlockAt;
    }

    /// @inheritdoc IStakeVault
    function tranches(address operator) external view returns (Tranche[] memory) {
        return _tranches[operatorIdOf[operator]];
    }

    /// @inheritdoc IStakeVault
    function free(address operator) external view returns (uint256) {
        return _free(_positions[operatorIdOf[operator]]);
    }

    /// @inheritdoc IStakeVault
    function scoreOf(address operator) external view returns (uint16) {
        return _positions[operatorIdOf[operator]].score;
    }

    function _enroll(address operator) private returns (uint32 operatorId) {
        operatorId = operatorIdOf[operator];
        if (operatorId != 0) return operatorId;
        operatorId = ++_operatorCount;
        operatorIdOf[operator] = operatorId;
        emit OperatorEnrolled(operator, operatorId);
    }

    function _stake(address operator, uint32 operatorId, uint256 amount) private {
        Position storage position = _positions[operatorId];
        uint256 staked = position.staked + amount;
        if (staked > type(uint96).max) revert AmountTooLarge(amount, type(uint96).max - position.staked);

        position.staked = uint96(staked);
        emit Staked(operator, amount);
        token.safeTransferFrom(operator, address(this), amount);
    }

    /// @dev What is left of an operator's locks when one of `amount` ends.
    function _left(uint256 locks, uint256 amount) private pure returns (uint96) {
        return amount < locks ? uint96(locks - amount) : 0;
    }

    /// @dev The newest first. An emptied tranche goes, so that no slash leaves entries behind that only cost gas.
    function _takeTranches(uint32 operatorId, uint256 amount) private returns (uint256 taken) {
        Tranche[] storage queue = _tranches[operatorId];
        while (taken < amount && queue.length != 0) {
            Tranche storage last = queue[queue.length - 1];
            uint256 part = Math.min(amount - taken, last.amount);
            taken += part;
            if (part == last.amount) queue.pop();
            else last.amount -= uint96(part);
        }
    }

    function _free(Position storage position) private view returns (uint256) {
        (uint256 staked, uint256 locks) = (position.staked, position.locks);
        return staked > locks ? staked - locks : 0;
    }
}
