// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IJobMarket} from "../interfaces/IJobMarket.sol";
import {JobWord, JobWordLib} from "../libraries/JobWordLib.sol";
import {JobBook} from "./JobBook.sol";

/// @title How jobs are read.
abstract contract JobViews is IJobMarket, JobBook {
    /// @inheritdoc IJobMarket
    function job(uint256 jobId) external view returns (JobView memory seen) {
        Job storage entry = _jobs[jobId];
        JobWord word = entry.word;
        seen.state = word.stateNow();
        seen.requester = entry.requester;
        seen.orchestrator = _orchestrators[word.orchestratorNumber()];
        seen.modelId = entry.modelId;
        seen.blocks = word.blocks();
        seen.replicas = word.replicas();
        seen.maxUnits = word.maxUnits();
        seen.pricePerUnit = uint96(word.pricePerUnit());
        seen.escrow = entry.escrow;
        seen.deadline = word.deadline();
        seen.epoch = word.epoch();
        seen.round = word.round();
        seen.committed = word.committed();
        seen.revealed = word.revealed();
        seen.outvoted = word.outvoted();
        if (word.state() == JobState.Open) seen.revealDeadline = word.phaseDeadline();
        if (word.state() == JobState.Agreed) seen.challengeDeadline = word.phaseDeadline();
        uint8 leader = word.hasResult() ? word.majority() : JobWordLib.NO_REPLICA;
        if (leader != JobWordLib.NO_REPLICA) seen.resultHash = _replicas[jobId][leader].resultHash;
    }

    /// @inheritdoc IJobMarket
    function replica(uint256 jobId, uint8 index) external view returns (ReplicaView memory seen) {
        JobWord word = _jobs[jobId].word;
        seen.seal = _replicas[jobId][index].seal;
        seen.resultHash = _resultOf(jobId, word, index);
        if (!_has(word.committed(), index)) seen.state = ReplicaState.None;
        else if (!_has(word.revealed(), index)) seen.state = ReplicaState.Committed;
        else if (!word.hasResult()) seen.state = ReplicaState.Revealed;
        else if (_has(word.outvoted(), index)) seen.state = ReplicaState.Outvoted;
        else if (word.groupOf(index) == word.majority()) seen.state = ReplicaState.Won;
        else seen.state = ReplicaState.Judged;
    }

    /// @inheritdoc IJobMarket
    function outcome(uint256 jobId) external view returns (JobState state, bytes32 resultHash) {
        JobWord word = _jobs[jobId].word;
        state = word.stateNow();
        if (!word.hasResult()) return (state, 0);
        uint8 leader = word.majority();
        if (leader != JobWordLib.NO_REPLICA) resultHash = _replicas[jobId][leader].resultHash;
    }

    /// @inheritdoc IJobMarket
    function standing(uint256 jobId) external view returns (Standing memory seen) {
        JobWord word = _jobs[jobId].word;
        seen.state = word.stateNow();
        seen.challengeDeadline = word.phaseDeadline();
        seen.blocks = word.blocks();
        seen.epoch = word.epoch();
        seen.stageLock = word.jobLock();
        if (!word.hasResult() || word.revealed() == 0) return seen;
        seen.outvoted = word.outvoted();
        seen.winners = word.membersOf(word.majority());
    }

    /// @inheritdoc IJobMarket
    function resultsOf(uint256 jobId, uint8 first, uint8 second) external view returns (bytes32, bytes32) {
        JobWord word = _jobs[jobId].word;
        return (_resultOf(jobId, word, first), _resultOf(jobId, word, second));
    }

    /// @inheritdoc IJobMarket
    function checkSeal(uint256 jobId, uint8 index, Sealed calldata replica_) external view {
        _checkSeal(jobId, index, replica_);
    }

    /// @inheritdoc IJobMarket
    function jobLockOf(uint256 jobId) external view returns (uint256) {
        return _jobs[jobId].word.jobLock();
    }

    /// @inheritdoc IJobMarket
    function isOrchestrator(address account) external view returns (bool) {
        return _orchestratorOf[account].allowed;
    }
}
