// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IParams} from "../interfaces/IParams.sol";
import {JobWord, JobWordLib} from "../libraries/JobWordLib.sol";
import {PayoutLib} from "../libraries/PayoutLib.sol";
import {Payouts} from "./Payouts.sol";

/// @title What the court's verdicts do to money and stake. An outvoted replica's price waits in escrow for them.
abstract contract Verdicts is Payouts {
    uint256 private constant NOBODY = type(uint256).max - 1; // EVERYONE is whatever else is no stage

    modifier onlyCourt() {
        if (msg.sender != court) revert NotCourt(msg.sender, court);
        _;
    }

    /// @notice See IJobMarket.
    function conclude(uint256 jobId, uint8 index, Sealed calldata replica, uint256 guilty, address challenger)
        external
        onlyCourt
        nonReentrant
    {
        (Job storage entry, JobWord word, uint256 price, uint32[] memory ids) = _closeReplica(jobId, index, replica);
        uint256 jobLock = word.jobLock();
        vault.unlockAll(ids, jobLock, false);
        emit ReplicaJudged(jobId, index);
        if (guilty < ids.length) {
            uint256 refund = PayoutLib.bps(price, replica.stages[guilty].workBps);
            _payReplica(jobId, entry, word, index, replica.stages, ids, price - refund, guilty);
            _refund(jobId, entry.requester, refund);
            _punishFraud(jobId, word, replica.stages[guilty].nodeId, jobLock, challenger);
        } else {
            _refund(jobId, entry.requester, price);
            uint256 cap = word.replicaPriceCap();
            for (uint256 i = 0; i < ids.length && guilty != NOBODY; ++i) {
                cap -= _slash(jobId, replica.stages[i].nodeId, jobLock, 0, address(0), 0, cap);
            }
        }
        _finishIfJudged(jobId, entry, word);
    }

    /// @notice See IJobMarket.
    function overturn(uint256 jobId, uint8 index, Sealed calldata replica) external onlyCourt nonReentrant {
        (Job storage entry, JobWord word, uint256 price, uint32[] memory ids) = _closeReplica(jobId, index, replica);
        entry.word = word.withState(JobState.Overturned);
        vault.unlockAll(ids, word.jobLock(), true);
        emit ReplicaJudged(jobId, index);
        emit JobOverturned(jobId, index);
        _payReplica(jobId, entry, word, index, replica.stages, ids, price, NO_STAGE);
    }

    /// @notice See IJobMarket.
    function setContested(uint256 jobId, uint8 index, bool contested) external onlyCourt {
        JobWord word = _jobs[jobId].word;
        uint8 bit = uint8(1) << index;
        uint8 all = contested ? word.contested() | bit : word.contested() & ~bit;
        _jobs[jobId].word = word.withContested(all);
        emit JobDisputed(jobId, all);
    }

    /// @notice See IJobMarket.
    function punish(uint256 jobId, uint64 nodeId, address challenger) external onlyCourt nonReentrant {
        _punishFraud(jobId, _jobs[jobId].word, nodeId, 0, challenger);
    }

    function _punishFraud(uint256 jobId, JobWord word, uint64 nodeId, uint256 jobLock, address challenger) private {
        IParams.Set memory set = params.at(word.epoch());
        _slash(jobId, nodeId, jobLock, set.slashBps, challenger, set.challengerBps, word.replicaPriceCap());
        nodes.jail(nodeId);
    }

    /// @dev Releases the replica's reserve: an equal part of what the job still holds.
    function _closeReplica(uint256 jobId, uint8 index, Sealed calldata replica)
        private
        returns (Job storage entry, JobWord word, uint256 price, uint32[] memory ids)
    {
        entry = _jobs[jobId];
        word = entry.word;
        uint8 outvoted = word.outvoted();
        if (!_has(outvoted, index)) revert NotOutvoted(jobId, index);
        uint32 lead = _checkSeal(jobId, index, replica);
        ids = _seatsOf(jobId, index, lead, replica.stages.length);
        price = entry.escrow / JobWordLib.count(outvoted);
        uint8 others = ~(uint8(1) << index);
        word = word.withOutvoted(outvoted & others).withContested(word.contested() & others);
        entry.word = word;
        entry.escrow -= uint80(price);
    }

    function _payReplica(
        uint256 jobId,
        Job storage entry,
        JobWord word,
        uint8 index,
        Stage[] calldata stages,
        uint32[] memory ids,
        uint256 price,
        uint256 guilty
    ) private {
        (PayoutLib.Fees memory fees, uint256 work) = _takeFees(entry, word, price);
        _payFees(jobId, entry, word, fees, 1, _payStages(jobId, index, stages, ids, work, guilty));
    }

    function _finishIfJudged(uint256 jobId, Job storage entry, JobWord word) private {
        if (word.outvoted() != 0 || word.state() == JobState.Overturned) return;
        entry.word = word.withState(JobState.Final);
        emit JobFinalized(jobId);
    }
}
