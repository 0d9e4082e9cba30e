// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IParams} from "./interfaces/IParams.sol";
import {IShardRegistry} from "./interfaces/IShardRegistry.sol";
import {JobWord, JobWordLib} from "./libraries/JobWordLib.sol";
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
        (Job storage entry, JobWord word) = _openJob(jobId);
        (uint8 committed, uint8 count) = (word.committed(), word.replicas());
        if (committed == 0) revert NothingCommitted(jobId);
        if (replicas.length != count) revert ReplicaCountWrong(replicas.length, count);
        bool hopeless = block.timestamp >= word.deadline() && JobWordLib.count(committed) * 2 <= count;
        bool allRevealed = word.revealsAreOpen() && word.revealed() == committed;
        if (!hopeless && !allRevealed && block.timestamp < word.phaseDeadline()) {
            revert RevealStillOpen(jobId, word.phaseDeadline(), block.timestamp);
        }
        uint32[][] memory seats = new uint32[][](count);
        for (uint8 i = 0; i < count; ++i) {
            uint32 lead = _checkSeal(jobId, i, replicas[i]);
            if (lead != 0) seats[i] = _seatsOf(jobId, i, lead, replicas[i].stages.length);
        }

        uint8 leader = word.majority();
        if (leader != JobWordLib.NO_REPLICA) _settle(jobId, entry, word, result, replicas, seats, leader);
        else _fail(jobId, entry, word, replicas, seats, hopeless);
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
        (Job storage entry, JobWord word) = _openJob(jobId);
        word = _checkParties(jobId, entry, word, requester, orchestrator);
        if (word.committed() != 0) revert WrongState(jobId, word.stateNow());
        if (replicas.length != word.replicas()) revert ReplicaCountWrong(replicas.length, word.replicas());
        if (result.units == 0 || result.units > word.maxUnits()) revert UnitsOutOfRange(result.units, word.maxUnits());

        uint256 price = uint256(result.units) * word.pricePerUnit();
        uint256 refund = entry.escrow - price * replicas.length;
        entry.escrow = 0;
        entry.word = word.withState(JobState.Final);
        emit JobSettledBySignatures(
            jobId, TraceLib.resultHash(result.units, result.outputDigest, result.traceRoot), result.units
        );
        _refund(jobId, requester, refund);
        _payAgreed(jobId, entry, word, replicas, seats, price);
        emit JobFinalized(jobId);
    }

    function _payAgreed(
        uint256 jobId,
        Job storage entry,
        JobWord word,
        Stage[][] calldata replicas,
        uint32[][] calldata seats,
        uint256 price
    ) private {
        (PayoutLib.Fees memory fees, uint256 work) = _takeFees(entry, word, price);
        uint256 left;
        for (uint8 i = 0; i < replicas.length; ++i) {
            _checkTiling(word.blocks(), replicas[i]);
            left += _payStages(jobId, i, replicas[i], seats[i], work, NO_STAGE);
        }
        _payFees(jobId, entry, word, fees, replicas.length, left);
    }

    function _checkParties(uint256 jobId, Job storage entry, JobWord word, address requester, address orchestrator)
        private
        returns (JobWord)
    {
        if (requester != entry.requester) revert NotRequester(jobId, requester, entry.requester);
        if (word.orchestratorNumber() == 0) return _bind(jobId, word, orchestrator);
        address named = _orchestrators[word.orchestratorNumber()];
        if (orchestrator != named) revert NotOrchestrator(jobId, orchestrator, named);
        return word;
    }

    /// @dev Pays the winners. Outvoted replicas keep their locks, and a replica's price stays in escrow for each.
    function _settle(
        uint256 jobId,
        Job storage entry,
        JobWord word,
        Result calldata result,
        Sealed[] calldata replicas,
        uint32[][] memory seats,
        uint8 leader
    ) private {
        uint8 winners = word.membersOf(leader);
        uint256 price = _agree(jobId, entry, word, result, leader, winners);
        _payWinners(jobId, entry, word, replicas, seats, winners, price);
        _punishWithheld(jobId, word, replicas, seats);
        if (word.revealed() == winners) {
            // Nobody will ask again what they committed with; events have it, and the chain pays for the room.
            for (uint256 i = 0; i < replicas.length; ++i) delete _replicas[jobId][i].seal;
            emit JobFinalized(jobId);
        }
    }

    function _agree(
        uint256 jobId,
        Job storage entry,
        JobWord word,
        Result calldata result,
        uint8 leader,
        uint8 winners
    ) private returns (uint256 price) {
        bytes32 agreed = _replicas[jobId][leader].resultHash;
        bytes32 given = TraceLib.resultHash(result.units, result.outputDigest, result.traceRoot);
        if (given != agreed) revert ResultMismatch(leader, agreed, given);
        uint8 outvoted = word.revealed() & ~winners;
        price = uint256(result.units) * word.pricePerUnit();
        uint256 reserve = price * JobWordLib.count(outvoted);
        uint256 refund = entry.escrow - price * JobWordLib.count(winners) - reserve;

        entry.escrow = uint80(reserve);
        if (outvoted == 0) {
            entry.word = word.withState(JobState.Final);
        } else {
            uint32 deadline = uint32(block.timestamp) + params.at(word.epoch()).challengeWindowSeconds;
            entry.word = word.withState(JobState.Agreed).withOutvoted(outvoted).withPhaseDeadline(deadline);
        }
        emit JobAgreed(jobId, agreed, result.units, winners, outvoted);
        _refund(jobId, entry.requester, refund);
    }

    function _payWinners(
        uint256 jobId,
        Job storage entry,
        JobWord word,
        Sealed[] calldata replicas,
        uint32[][] memory seats,
        uint8 winners,
        uint256 price
    ) private {
        (PayoutLib.Fees memory fees, uint256 work) = _takeFees(entry, word, price);
        uint256 left;
        for (uint8 i = 0; i < replicas.length; ++i) {
            if (_has(winners, i)) left += _payStages(jobId, i, replicas[i].stages, seats[i], work, NO_STAGE);
        }
        _payFees(jobId, entry, word, fees, JobWordLib.count(winners), left);
        vault.unlockAll(_together(seats, winners), word.jobLock(), true);
    }

    /// @dev The operators of several replicas in one list: one call of the vault frees them all.
    function _together(uint32[][] memory seats, uint8 members) private pure returns (uint32[] memory ids) {
        uint256 total;
        for (uint8 i = 0; i < seats.length; ++i) if (_has(members, i)) total += seats[i].length;
        ids = new uint32[](total);
        uint256 next;
        for (uint8 i = 0; i < seats.length; ++i) {
            if (!_has(members, i)) continue;
            uint32[] memory some = seats[i];
            for (uint256 k = 0; k < some.length; ++k) ids[next++] = some[k];
        }
    }

    /// @dev No majority: nobody is paid and nobody outvoted. Where too few committed, no reveal was owed.
    function _fail(
        uint256 jobId,
        Job storage entry,
        JobWord word,
        Sealed[] calldata replicas,
        uint32[][] memory seats,
        bool hopeless
    ) private {
        emit JobFailed(jobId, entry.escrow);
        _close(jobId, entry, word, JobState.Failed);
        vault.unlockAll(_together(seats, hopeless ? word.committed() : word.revealed()), word.jobLock(), false);
        if (!hopeless) _punishWithheld(jobId, word, replicas, seats);
    }

    /// @dev Who committed and did not reveal: only the lead could have, so it alone pays; the others are unlocked.
    function _punishWithheld(uint256 jobId, JobWord word, Sealed[] calldata replicas, uint32[][] memory seats) private {
        uint8 withheld = word.committed() & ~word.revealed();
        for (uint8 i = 0; withheld >> i != 0; ++i) {
            if (!_has(withheld, i)) continue;
            uint256 jobLock = word.jobLock();
            vault.unlockAll(seats[i], jobLock, false);
            _slash(jobId, replicas[i].stages[0].nodeId, jobLock, 0, address(0), 0, word.replicaPriceCap());
        }
    }
}
