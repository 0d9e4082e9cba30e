// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IParams} from "./interfaces/IParams.sol";
import {IShardRegistry} from "./interfaces/IShardRegistry.sol";
import {PayoutLib} from "./libraries/PayoutLib.sol";
import {TraceLib} from "./libraries/TraceLib.sol";
import {JobBook} from "./market/JobBook.sol";
import {Verdicts} from "./market/Verdicts.sol";

/// @title The half of the market that counts votes and pays. One contract may not be larger than EIP-170 allows, so the
/// JobMarket runs this code on its own memory (delegatecall to an address that is fixed for ever). It holds nothing itself.
contract JobSettler is Verdicts {
    constructor(IShardRegistry shards_, IParams params_, address treasury_) JobBook(shards_, params_, treasury_) {}

    /// @notice See IJobMarket.
    function finalize(uint256 jobId, Result calldata result, Sealed[] calldata replicas) external {
        Job storage entry = _openJob(jobId);
        if (entry.committed == 0) revert NothingCommitted(jobId);
        if (replicas.length != entry.replicas) revert ReplicaCountWrong(replicas.length, entry.replicas);
        bool hopeless = block.timestamp >= entry.deadline && _count(entry.committed) * 2 <= entry.replicas;
        bool allRevealed = _revealsAreOpen(entry) && entry.revealed == entry.committed;
        if (!hopeless && !allRevealed && block.timestamp < entry.phaseDeadline) {
            revert RevealStillOpen(jobId, entry.phaseDeadline, block.timestamp);
        }
        uint32[][] memory seats = new uint32[][](replicas.length);
        for (uint8 i = 0; i < replicas.length; ++i) {
            uint32 lead = _checkSeal(jobId, i, replicas[i]);
            if (lead != 0) seats[i] = _seatsOf(jobId, i, lead, replicas[i].stages.length);
        }

        uint8 leader = _majority(entry);
        if (leader != NO_REPLICA) _settle(jobId, entry, result, replicas, seats, leader);
        else _fail(jobId, entry, replicas, seats, hopeless);
    }

    /// @notice See IJobMarket.
    function settleAgreed(
        uint256 jobId,
        address requester,
        address orchestrator,
        Result calldata result,
        Stage[][] calldata replicas,
        uint32[][] calldata seats
    ) external {
        if (msg.sender != settlement) revert NotSettlement(msg.sender, settlement);
        Job storage entry = _openJob(jobId);
        _checkParties(jobId, entry, requester, orchestrator);
        if (entry.committed != 0) revert WrongState(jobId, _stateOf(entry));
        if (replicas.length != entry.replicas) revert ReplicaCountWrong(replicas.length, entry.replicas);
        if (result.units == 0 || result.units > entry.maxUnits) revert UnitsOutOfRange(result.units, entry.maxUnits);

        uint256 price = uint256(result.units) * _pricePerUnit(entry);
        uint256 refund = entry.escrow - price * replicas.length;
        entry.escrow = 0;
        entry.state = JobState.Final;
        emit JobSettledBySignatures(
            jobId, TraceLib.resultHash(result.units, result.outputDigest, result.traceRoot), result.units
        );
        _refund(jobId, requester, refund);
        _payAgreed(jobId, entry, replicas, seats, price);
        emit JobFinalized(jobId);
    }

    function _payAgreed(
        uint256 jobId,
        Job storage entry,
        Stage[][] calldata replicas,
        uint32[][] calldata seats,
        uint256 price
    ) private {
        (PayoutLib.Fees memory fees, uint256 work) = _takeFees(entry, price);
        uint256 left;
        for (uint8 i = 0; i < replicas.length; ++i) {
            _checkTiling(entry.blocks, replicas[i]);
            left += _payStages(jobId, i, replicas[i], seats[i], work, NO_STAGE);
        }
        _payFees(jobId, entry, fees, replicas.length, left);
    }

    function _checkParties(uint256 jobId, Job storage entry, address requester, address orchestrator) private {
        if (requester != entry.requester) revert NotRequester(jobId, requester, entry.requester);
        if (entry.orchestratorNumber == 0) return _bind(jobId, entry, orchestrator);
        address named = _orchestrators[entry.orchestratorNumber];
        if (orchestrator != named) revert NotOrchestrator(jobId, orchestrator, named);
    }

    /// @dev Pays the winners. Outvoted replicas keep their locks, and a replica's price stays in escrow for each.
    function _settle(
        uint256 jobId,
        Job storage entry,
        Result calldata result,
        Sealed[] calldata replicas,
        uint32[][] memory seats,
        uint8 leader
    ) private {
        (uint8 winners, uint256 price) = _agree(jobId, entry, result, leader);
        _payWinners(jobId, entry, replicas, seats, winners, price);
        _punishWithheld(jobId, entry, replicas, seats);
        if (entry.state == JobState.Final) {
            // Nobody will ask again what they committed with; events have it, and the chain pays for the room.
            for (uint256 i = 0; i < replicas.length; ++i) delete _replicas[jobId][i].seal;
            emit JobFinalized(jobId);
        }
    }

    function _agree(uint256 jobId, Job storage entry, Result calldata result, uint8 leader)
        private
        returns (uint8 winners, uint256 price)
    {
        bytes32 agreed = _replicas[jobId][leader].resultHash;
        bytes32 given = TraceLib.resultHash(result.units, result.outputDigest, result.traceRoot);
        if (given != agreed) revert ResultMismatch(leader, agreed, given);
        winners = _membersOf(entry, leader);
        uint8 outvoted = entry.revealed & ~winners;
        price = uint256(result.units) * _pricePerUnit(entry);
        uint256 reserve = price * _count(outvoted);
        uint256 refund = entry.escrow - price * _count(winners) - reserve;

        entry.escrow = uint80(reserve);
        entry.state = outvoted == 0 ? JobState.Final : JobState.Agreed;
        if (outvoted != 0) {
            entry.outvoted = outvoted;
            entry.phaseDeadline = uint32(block.timestamp) + params.at(entry.epoch).challengeWindowSeconds;
        }
        emit JobAgreed(jobId, agreed, result.units, winners, outvoted);
        _refund(jobId, entry.requester, refund);
    }

    function _payWinners(
        uint256 jobId,
        Job storage entry,
        Sealed[] calldata replicas,
        uint32[][] memory seats,
        uint8 winners,
        uint256 price
    ) private {
        (PayoutLib.Fees memory fees, uint256 work) = _takeFees(entry, price);
        uint256 left;
        for (uint8 i = 0; i < replicas.length; ++i) {
            if (_has(winners, i)) left += _payStages(jobId, i, replicas[i].stages, seats[i], work, NO_STAGE);
        }
        _payFees(jobId, entry, fees, _count(winners), left);
        vault.unlockAll(_together(seats, winners), _jobLock(entry), true);
    }

    /// @dev The operators of several replicas in one list: one call of the vault frees them all.
    function _together(uint32[][] memory seats, uint8 members) private pure returns (uint32[] memory ids) {
        uint256 total;
        for (uint8 i = 0; i < seats.length; ++i) if (_has(members, i)) total += seats[i].length;
        ids = new uint32[](total);
        uint256 next;
        for (uint8 i = 0; i < seats.length; ++i) {
            if (!_has(members, i)) continue;
            for (uint256 k = 0; k < seats[i].length; ++k) ids[next++] = seats[i][k];
        }
    }

    /// @dev No majority: nobody is paid and nobody outvoted. Where too few committed, no reveal was owed.
    function _fail(
        uint256 jobId,
        Job storage entry,
        Sealed[] calldata replicas,
        uint32[][] memory seats,
        bool hopeless
    ) private {
        emit JobFailed(jobId, entry.escrow);
        _close(jobId, entry, JobState.Failed);
        vault.unlockAll(_together(seats, hopeless ? entry.committed : entry.revealed), _jobLock(entry), false);
        if (!hopeless) _punishWithheld(jobId, entry, replicas, seats);
    }

    /// @dev Who committed and did not reveal: only the lead could have, so it alone pays; the others are unlocked.
    function _punishWithheld(
        uint256 jobId,
        Job storage entry,
        Sealed[] calldata replicas,
        uint32[][] memory seats
    ) private {
        uint8 withheld = entry.committed & ~entry.revealed;
        for (uint8 i = 0; withheld >> i != 0; ++i) {
            if (!_has(withheld, i)) continue;
            uint256 jobLock = _jobLock(entry);
            vault.unlockAll(seats[i], jobLock, false);
            _slash(jobId, replicas[i].stages[0].nodeId, jobLock, 0, address(0), 0, _replicaPriceCap(entry));
        }
    }
}
