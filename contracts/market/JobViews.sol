// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IJobMarket} from "../interfaces/IJobMarket.sol";
import {JobBook} from "./JobBook.sol";

/// @title How jobs are read.
abstract contract JobViews is IJobMarket, JobBook {
    /// @inheritdoc IJobMarket
    function job(uint256 jobId) external view returns (JobView memory seen) {
        Job storage entry = _jobs[jobId];
        seen.state = _stateOf(entry);
        seen.requester = entry.requester;
        seen.orchestrator = _orchestrators[entry.orchestratorNumber];
        seen.modelId = entry.modelId;
        seen.blocks = entry.blocks;
        seen.replicas = entry.replicas;
        seen.maxUnits = entry.maxUnits;
        seen.pricePerUnit = uint96(_pricePerUnit(entry));
        seen.escrow = entry.escrow;
        seen.deadline = entry.deadline;
        seen.epoch = entry.epoch;
        seen.round = entry.round;
        seen.committed = entry.committed;
        seen.revealed = entry.revealed;
        seen.outvoted = entry.outvoted;
        if (entry.state == JobState.Open) seen.revealDeadline = entry.phaseDeadline;
        if (entry.state == JobState.Agreed) seen.challengeDeadline = entry.phaseDeadline;
        uint8 leader = _hasResult(entry) ? _majority(entry) : NO_REPLICA;
        if (leader != NO_REPLICA) seen.resultHash = _replicas[jobId][leader].resultHash;
    }

    /// @inheritdoc IJobMarket
    function replica(uint256 jobId, uint8 index) external view returns (ReplicaView memory seen) {
        Job storage entry = _jobs[jobId];
        seen.seal = _replicas[jobId][index].seal;
        seen.resultHash = _resultOf(jobId, entry, index);
        if (!_has(entry.committed, index)) seen.state = ReplicaState.None;
        else if (!_has(entry.revealed, index)) seen.state = ReplicaState.Committed;
        else if (!_hasResult(entry)) seen.state = ReplicaState.Revealed;
        else if (_has(entry.outvoted, index)) seen.state = ReplicaState.Outvoted;
        else if (_groupOf(entry, index) == _majority(entry)) seen.state = ReplicaState.Won;
        else seen.state = ReplicaState.Judged;
    }

    /// @inheritdoc IJobMarket
    function outcome(uint256 jobId) external view returns (JobState state, bytes32 resultHash) {
        Job storage entry = _jobs[jobId];
        state = _stateOf(entry);
        if (!_hasResult(entry)) return (state, 0);
        uint8 leader = _majority(entry);
        if (leader != NO_REPLICA) resultHash = _replicas[jobId][leader].resultHash;
    }

    /// @inheritdoc IJobMarket
    function standing(uint256 jobId, uint8 loser, uint8 winner) external view returns (Standing memory seen) {
        Job storage entry = _jobs[jobId];
        seen.state = _stateOf(entry);
        seen.challengeDeadline = entry.phaseDeadline;
        seen.blocks = entry.blocks;
        seen.epoch = entry.epoch;
        seen.stageLock = _jobLock(entry);
        if (!_hasResult(entry) || entry.revealed == 0) return seen;
        seen.loserOutvoted = _has(entry.outvoted, loser);
        seen.winners = _membersOf(entry, _majority(entry));
        seen.loserResult = _resultOf(jobId, entry, loser);
        seen.winnerResult = _resultOf(jobId, entry, winner);
    }

    /// @inheritdoc IJobMarket
    function checkSeal(uint256 jobId, uint8 index, Sealed calldata replica_) external view {
        _checkSeal(jobId, index, replica_);
    }

    /// @inheritdoc IJobMarket
    function jobLockOf(uint256 jobId) external view returns (uint256) {
        return _jobLock(_jobs[jobId]);
    }

    /// @inheritdoc IJobMarket
    function isOrchestrator(address account) external view returns (bool) {
        return _orchestratorOf[account].allowed;
    }
}
