// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IParams} from "../interfaces/IParams.sol";
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
        (Job storage entry, uint256 price, uint32[] memory ids) = _closeReplica(jobId, index, replica);
        uint256 jobLock = _jobLock(entry);
        vault.unlockAll(ids, jobLock, false);
        emit ReplicaJudged(jobId, index);
        if (guilty < ids.length) {
            uint256 refund = PayoutLib.bps(price, replica.stages[guilty].workBps);
            _payReplica(jobId, entry, index, replica.stages, ids, price - refund, guilty);
            _refund(jobId, entry.requester, refund);
            _punishFraud(jobId, entry, replica.stages[guilty].nodeId, jobLock, challenger);
        } else {
            _refund(jobId, entry.requester, price);
            uint256 cap = _replicaPriceCap(entry);
            for (uint256 i = 0; i < ids.length && guilty != NOBODY; ++i) {
                cap -= _slash(jobId, replica.stages[i].nodeId, jobLock, 0, address(0), 0, cap);
            }
        }
        _finishIfJudged(jobId, entry);
    }

    /// @notice See IJobMarket.
    function overturn(uint256 jobId, uint8 index, Sealed calldata replica) external onlyCourt nonReentrant {
        (Job storage entry, uint256 price, uint32[] memory ids) = _closeReplica(jobId, index, replica);
        vault.unlockAll(ids, _jobLock(entry), true);
        emit ReplicaJudged(jobId, index);
        emit JobOverturned(jobId, index);
        _payReplica(jobId, entry, index, replica.stages, ids, price, NO_STAGE);
        entry.state = JobState.Overturned;
    }

    /// @notice See IJobMarket.
    function setContested(uint256 jobId, uint8 index, bool contested) external onlyCourt {
        Job storage entry = _jobs[jobId];
        uint8 bit = uint8(1) << index;
        entry.contested = contested ? entry.contested | bit : entry.contested & ~bit;
        emit JobDisputed(jobId, entry.contested);
    }

    /// @notice See IJobMarket.
    function punish(uint256 jobId, uint64 nodeId, address challenger) external onlyCourt nonReentrant {
        _punishFraud(jobId, _jobs[jobId], nodeId, 0, challenger);
    }

    function _punishFraud(uint256 jobId, Job storage entry, uint64 nodeId, uint256 jobLock, address challenger) private {
        IParams.Set memory set = params.at(entry.epoch);
        _slash(jobId, nodeId, jobLock, set.slashBps, challenger, set.challengerBps, _replicaPriceCap(entry));
        nodes.jail(nodeId);
    }

    /// @dev Releases the replica's reserve: an equal part of what the job still holds.
    function _closeReplica(uint256 jobId, uint8 index, Sealed calldata replica)
        private
        returns (Job storage entry, uint256 price, uint32[] memory ids)
    {
        entry = _jobs[jobId];
        uint8 outvoted = entry.outvoted;
        if (!_has(outvoted, index)) revert NotOutvoted(jobId, index);
        uint32 lead = _checkSeal(jobId, index, replica);
        ids = _seatsOf(jobId, index, lead, replica.stages.length);
        price = entry.escrow / _count(outvoted);
        entry.outvoted = outvoted & ~(uint8(1) << index);
        entry.contested &= ~(uint8(1) << index);
        entry.escrow -= uint80(price);
    }

    function _payReplica(
        uint256 jobId,
        Job storage entry,
        uint8 index,
        Stage[] calldata stages,
        uint32[] memory ids,
        uint256 price,
        uint256 guilty
    ) private {
        (PayoutLib.Fees memory fees, uint256 work) = _takeFees(entry, price);
        _payFees(jobId, entry, fees, 1, _payStages(jobId, index, stages, ids, work, guilty));
    }

    function _finishIfJudged(uint256 jobId, Job storage entry) private {
        if (entry.outvoted != 0 || entry.state == JobState.Overturned) return;
        entry.state = JobState.Final;
        emit JobFinalized(jobId);
    }
}
