// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IEpochSettler} from "../interfaces/IEpochSettler.sol";
import {IJobMarket} from "../interfaces/IJobMarket.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IOstrakaToken} from "../interfaces/IOstrakaToken.sol";
import {IParams} from "../interfaces/IParams.sol";
import {IShardRegistry} from "../interfaces/IShardRegistry.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";

/// @title What is remembered of epochs, and who is owed what.
abstract contract EpochBook is IEpochSettler, EIP712 {
    using SafeERC20 for IOstrakaToken;

    bytes32 private constant ORDER_TYPEHASH = keccak256(
        "EpochOrder(address requester,address orchestrator,bytes32 modelId,bytes32 inputsRoot,uint16 jobs,uint32 unitsPerJob,uint80 pricePerJob,uint64[] nodeIds,uint64 commitDeadline,uint256 nonce)"
    );

    bytes32 private constant COMMIT_TYPEHASH =
        keccak256("EpochCommit(bytes32 epochId,uint8 seat,bytes32 commitment)");

    /// @dev One slot that never empties again: filling an empty one costs more than all the rest of a payment. Running sums of a
    /// token whose stakes fit 96 bits do not reach 2^128.
    struct Earnings {
        uint128 credited;
        uint128 withdrawn;
    }

    /// @dev One slot. What else there is to know stands in the order, which whoever needs it shows again. `state` is never
    /// Revealing; the clock says that.
    struct Epoch {
        uint80 escrow;
        uint32 commitDeadline;
        uint32 phaseDeadline;
        uint16 royaltyBps;
        uint16 voided;
        uint8 paramSet;
        uint8 lockMultiple;
        State state;
        uint8 seats;
        uint8 committed;
        uint8 revealed;
        uint8 outvoted;
    }

    /// @inheritdoc IEpochSettler
    IJobMarket public immutable market;
    /// @inheritdoc IEpochSettler
    uint40 public immutable gracePeriod;

    IOstrakaToken internal immutable _token;
    IStakeVault internal immutable _vault;
    INodeRegistry internal immutable _nodes;
    IModelRegistry internal immutable _models;
    IShardRegistry internal immutable _shards;
    IParams internal immutable _params;
    address internal immutable _treasury;

    mapping(bytes32 epochId => Epoch) internal _epochs;
    /// @dev Short ids of the team's operators, 32 bits each.
    mapping(bytes32 epochId => uint256) internal _operators;
    /// @dev A commitment while the seat's bit in `revealed` is 0, a root from then on; nothing reads it as the other.
    mapping(bytes32 epochId => mapping(uint256 seat => bytes32)) internal _seals;
    mapping(bytes32 epochId => mapping(uint256 word => uint256 bitmap)) internal _voidJobs;

    mapping(address account => Earnings) private _balances;
    /// @dev What operators earned, by their short ids: paying them needs no look into the registers.
    mapping(uint32 operatorId => Earnings) private _earned;

    constructor(IJobMarket market_, uint40 gracePeriod_) EIP712("Ostraka", "1") {
        market = market_;
        gracePeriod = gracePeriod_;
        _token = market_.token();
        _vault = market_.vault();
        _nodes = market_.nodes();
        _models = market_.models();
        _shards = market_.shards();
        _params = market_.params();
        _treasury = market_.treasury();
    }

    /// @inheritdoc IEpochSettler
    function withdraw() external returns (uint256 amount) {
        amount = _take(_balances[msg.sender]) + _take(_earned[_vault.operatorIdOf(msg.sender)]);
        if (amount == 0) revert NothingToWithdraw(msg.sender);

        emit Withdrawn(msg.sender, amount);
        _token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IEpochSettler
    function balanceOf(address account) external view returns (uint256) {
        return _left(_balances[account]) + _left(_earned[_vault.operatorIdOf(account)]);
    }

    /// @inheritdoc IEpochSettler
    function epoch(bytes32 epochId) external view returns (EpochView memory seen) {
        Epoch memory entry = _epochs[epochId];
        seen.state = _stateOf(entry);
        seen.escrow = entry.escrow;
        seen.commitDeadline = entry.commitDeadline;
        seen.phaseDeadline = entry.phaseDeadline;
        seen.royaltyBps = entry.royaltyBps;
        seen.paramSet = entry.paramSet;
        seen.lockMultiple = entry.lockMultiple;
        seen.seats = entry.seats;
        seen.committed = entry.committed;
        seen.revealed = entry.revealed;
        seen.outvoted = entry.outvoted;
        seen.voided = entry.voided;
        seen.operators = _operators[epochId];
    }

    /// @inheritdoc IEpochSettler
    function sealOf(bytes32 epochId, uint8 seat) external view returns (bytes32) {
        return _seals[epochId][seat];
    }

    /// @inheritdoc IEpochSettler
    function hashOrder(EpochOrder calldata order) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    ORDER_TYPEHASH,
                    order.requester,
                    order.orchestrator,
                    order.modelId,
                    order.inputsRoot,
                    order.jobs,
                    order.unitsPerJob,
                    order.pricePerJob,
                    keccak256(abi.encodePacked(order.nodeIds)),
                    order.commitDeadline,
                    order.nonce
                )
            )
        );
    }

    /// @inheritdoc IEpochSettler
    function hashCommit(bytes32 epochId, uint8 seat, bytes32 commitment) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(COMMIT_TYPEHASH, epochId, seat, commitment)));
    }

    function _credit(address account, uint256 amount) internal {
        if (amount != 0) _balances[account].credited += uint128(amount);
    }

    function _earn(uint32 operatorId, uint256 amount) internal {
        if (amount != 0) _earned[operatorId].credited += uint128(amount);
    }

    function _take(Earnings storage entry) private returns (uint256 amount) {
        amount = _left(entry);
        if (amount != 0) entry.withdrawn = entry.credited;
    }

    function _left(Earnings storage entry) private view returns (uint256) {
        return entry.credited - entry.withdrawn;
    }

    /// @dev An epoch that is still to be settled.
    function _openEpoch(bytes32 epochId) internal view returns (Epoch memory entry) {
        entry = _epochs[epochId];
        State state = entry.state;
        if (state == State.None) revert UnknownEpoch(epochId);
        if (state != State.Committing && state != State.Contested) revert WrongState(epochId, state);
    }

    function _stateOf(Epoch memory entry) internal view returns (State) {
        bool reveals = entry.state == State.Committing && _revealsAreOpen(entry);
        return reveals ? State.Revealing : entry.state;
    }

    function _revealsAreOpen(Epoch memory entry) internal view returns (bool) {
        return entry.committed == _allOf(entry) || block.timestamp >= entry.commitDeadline;
    }

    /// @dev Whether nobody may reveal any more: all that committed have, or the time is over.
    function _revealsAreOver(Epoch memory entry) internal view returns (bool) {
        return block.timestamp >= entry.phaseDeadline || (_revealsAreOpen(entry) && entry.revealed == entry.committed);
    }

    function _isMajority(Epoch memory entry, uint8 bitmap) internal pure returns (bool) {
        return _count(bitmap) * 2 > entry.seats;
    }

    function _allOf(Epoch memory entry) internal pure returns (uint8) {
        return uint8((uint256(1) << entry.seats) - 1);
    }

    function _has(uint8 bitmap, uint256 seat) internal pure returns (bool) {
        return seat < 8 && bitmap >> seat & 1 == 1;
    }

    function _count(uint8 bitmap) internal pure returns (uint256 bits) {
        for (; bitmap != 0; bitmap &= bitmap - 1) ++bits;
    }
}
