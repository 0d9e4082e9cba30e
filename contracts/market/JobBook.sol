// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IJobMarket} from "../interfaces/IJobMarket.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IOstrakaToken} from "../interfaces/IOstrakaToken.sol";
import {IShardRegistry} from "../interfaces/IShardRegistry.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {AssignmentLib} from "../libraries/AssignmentLib.sol";
import {PayoutLib} from "../libraries/PayoutLib.sol";

/// @title What the market remembers, and how it is read.
abstract contract JobBook is IJobMarket {
    uint8 internal constant MAX_REPLICAS = 7;
    uint256 internal constant MAX_STAGES = 64;
    uint256 internal constant MAX_ROYALTY_BPS = 1000;

    /// @dev Four slots. `state` is only ever Open or what closed the job; the clock and the bitmaps say the rest.
    /// `candidate` is the replica whose result is ahead in the vote and `margin` by how much, as Boyer and Moore count: whoever
    /// has more than half of all votes is the candidate in the end. `units` are the candidate's.
    /// `phaseDeadline` ends the reveal phase, and the challenge phase once the job is Agreed.
    struct Job {
        address requester;
        uint32 maxUnits;
        uint32 units;
        uint8 revealed;
        uint8 candidate;
        uint8 margin;
        JobState state;
        // slot 1
        address orchestrator;
        uint40 deadline;
        uint40 phaseDeadline;
        uint16 blocks;
        // slot 2
        uint96 pricePerUnit;
        uint128 escrow;
        uint8 replicas;
        uint8 committed;
        uint8 outvoted;
        // slot 3
        bytes32 modelId;
    }

    /// @dev Commitment and result never share a slot.
    struct Replica {
        bytes32 assignmentHash;
        bytes32 commitment;
        bytes32 resultHash;
    }

    /// @inheritdoc IJobMarket
    IOstrakaToken public immutable token;
    /// @inheritdoc IJobMarket
    IStakeVault public immutable vault;
    /// @inheritdoc IJobMarket
    INodeRegistry public immutable nodes;
    /// @inheritdoc IJobMarket
    IModelRegistry public immutable models;
    /// @inheritdoc IJobMarket
    IShardRegistry public immutable shards;
    /// @inheritdoc IJobMarket
    address public immutable treasury;

    uint16 internal immutable _protocolFeeBps;
    uint16 internal immutable _orchestratorFeeBps;
    uint16 internal immutable _lockMultiple;
    uint16 internal immutable _slashBps;
    uint16 internal immutable _challengerBps;
    uint32 internal immutable _minWindowSeconds;
    uint32 internal immutable _maxWindowSeconds;
    uint32 internal immutable _revealWindowSeconds;
    uint32 internal immutable _challengeWindowSeconds;

    /// @inheritdoc IJobMarket
    uint256 public jobCount;
    /// @inheritdoc IJobMarket
    mapping(address account => bool) public isOrchestrator;

    mapping(uint256 jobId => Job) internal _jobs;
    mapping(uint256 jobId => mapping(uint8 index => Replica)) internal _replicas;

    constructor(IShardRegistry shards_, address treasury_, MarketParams memory params_) {
        if (treasury_ == address(0)) revert ZeroAddress();
        if (
            uint256(params_.protocolFeeBps) + params_.orchestratorFeeBps + MAX_ROYALTY_BPS > PayoutLib.ALL_BPS
                || params_.slashBps > PayoutLib.ALL_BPS || params_.challengerBps > PayoutLib.ALL_BPS
                || params_.lockMultiple == 0 || params_.minWindowSeconds == 0
                || params_.minWindowSeconds > params_.maxWindowSeconds || params_.revealWindowSeconds == 0
                || params_.challengeWindowSeconds == 0
        ) revert BadParams(params_);
        shards = shards_;
        vault = shards_.vault();
        nodes = shards_.nodes();
        models = shards_.models();
        token = vault.token();
        treasury = treasury_;
        _protocolFeeBps = params_.protocolFeeBps;
        _orchestratorFeeBps = params_.orchestratorFeeBps;
        _lockMultiple = params_.lockMultiple;
        _slashBps = params_.slashBps;
        _challengerBps = params_.challengerBps;
        _minWindowSeconds = params_.minWindowSeconds;
        _maxWindowSeconds = params_.maxWindowSeconds;
        _revealWindowSeconds = params_.revealWindowSeconds;
        _challengeWindowSeconds = params_.challengeWindowSeconds;
    }

    /// @inheritdoc IJobMarket
    function params() external view returns (MarketParams memory) {
        return MarketParams({
            protocolFeeBps: _protocolFeeBps,
            orchestratorFeeBps: _orchestratorFeeBps,
            lockMultiple: _lockMultiple,
            slashBps: _slashBps,
            challengerBps: _challengerBps,
            minWindowSeconds: _minWindowSeconds,
            maxWindowSeconds: _maxWindowSeconds,
            revealWindowSeconds: _revealWindowSeconds,
            challengeWindowSeconds: _challengeWindowSeconds
        });
    }

    /// @inheritdoc IJobMarket
    function job(uint256 jobId) external view returns (JobView memory seen) {
        Job storage entry = _jobs[jobId];
        seen.state = _stateOf(entry);
        seen.requester = entry.requester;
        seen.orchestrator = entry.orchestrator;
        seen.modelId = entry.modelId;
        seen.blocks = entry.blocks;
        seen.replicas = entry.replicas;
        seen.maxUnits = entry.maxUnits;
        seen.pricePerUnit = entry.pricePerUnit;
        seen.escrow = entry.escrow;
        seen.deadline = entry.deadline;
        seen.committed = entry.committed;
        seen.revealed = entry.revealed;
        seen.outvoted = entry.outvoted;
        if (entry.state == JobState.Open) seen.revealDeadline = entry.phaseDeadline;
        if (entry.state == JobState.Agreed) seen.challengeDeadline = entry.phaseDeadline;
        if (_hasResult(entry)) {
            seen.units = entry.units;
            seen.resultHash = _replicas[jobId][entry.candidate].resultHash;
        }
    }

    /// @inheritdoc IJobMarket
    function replica(uint256 jobId, uint8 index) external view returns (ReplicaView memory seen) {
        Job storage entry = _jobs[jobId];
        Replica storage chosen = _replicas[jobId][index];
        seen.assignmentHash = chosen.assignmentHash;
        seen.commitment = chosen.commitment;
        seen.resultHash = chosen.resultHash;
        if (!_has(entry.committed, index)) seen.state = ReplicaState.None;
        else if (!_has(entry.revealed, index)) seen.state = ReplicaState.Committed;
        else if (!_hasResult(entry)) seen.state = ReplicaState.Revealed;
        else if (_has(entry.outvoted, index)) seen.state = ReplicaState.Outvoted;
        else if (_agrees(jobId, entry, index)) seen.state = ReplicaState.Won;
        else seen.state = ReplicaState.Judged;
    }

    /// @inheritdoc IJobMarket
    function jobLockOf(uint256 jobId) external view returns (uint256) {
        return _jobLock(_jobs[jobId]);
    }

    /// @dev A job on which votes are still taken or to be counted.
    function _openJob(uint256 jobId) internal view returns (Job storage entry) {
        entry = _jobs[jobId];
        if (entry.state == JobState.None) revert UnknownJob(jobId);
        if (entry.state != JobState.Open) revert WrongState(jobId, entry.state);
    }

    /// @dev A job with a result and at least one replica to judge.
    function _agreedJob(uint256 jobId) internal view returns (Job storage entry) {
        entry = _jobs[jobId];
        if (entry.state == JobState.None) revert UnknownJob(jobId);
        if (entry.state != JobState.Agreed) revert WrongState(jobId, _stateOf(entry));
    }

    function _stateOf(Job storage entry) internal view returns (JobState) {
        if (entry.state != JobState.Open || entry.committed == 0) return entry.state;
        return _revealsAreOpen(entry) ? JobState.Revealing : JobState.Committing;
    }

    function _revealsAreOpen(Job storage entry) internal view returns (bool) {
        return entry.committed == _allOf(entry.replicas) || block.timestamp >= entry.deadline;
    }

    function _hasResult(Job storage entry) internal view returns (bool) {
        return entry.state == JobState.Agreed || entry.state == JobState.Final;
    }

    function _agrees(uint256 jobId, Job storage entry, uint8 index) internal view returns (bool) {
        return _has(entry.revealed, index)
            && _replicas[jobId][index].resultHash == _replicas[jobId][entry.candidate].resultHash;
    }

    /// @dev The price of one replica at most: also the most a requester is compensated for it.
    function _replicaPriceCap(Job storage entry) internal view returns (uint256) {
        return uint256(entry.maxUnits) * entry.pricePerUnit;
    }

    function _jobLock(Job storage entry) internal view returns (uint256) {
        return _lockMultiple * _replicaPriceCap(entry);
    }

    /// @dev A replica that did not commit has hash 0, and only an empty list stands for it.
    function _checkStages(uint256 jobId, uint8 index, Stage[] calldata stages) internal view {
        bytes32 given = stages.length == 0 ? bytes32(0) : AssignmentLib.hashAssignment(jobId, index, stages);
        bytes32 committed = _replicas[jobId][index].assignmentHash;
        if (given != committed) revert StagesMismatch(jobId, index, committed, given);
    }

    function _has(uint8 bitmap, uint8 index) internal pure returns (bool) {
        return index < 8 && bitmap >> index & 1 == 1;
    }

    function _allOf(uint8 replicas) internal pure returns (uint8) {
        return uint8((uint256(1) << replicas) - 1);
    }

    function _count(uint8 bitmap) internal pure returns (uint256 bits) {
        for (; bitmap != 0; bitmap &= bitmap - 1) ++bits;
    }
}
