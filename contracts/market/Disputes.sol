// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IJobMarket} from "../interfaces/IJobMarket.sol";
import {PayoutLib} from "../libraries/PayoutLib.sol";
import {TraceLib} from "../libraries/TraceLib.sol";
import {Payouts} from "./Payouts.sol";

/// @title What becomes of outvoted replicas: one stage is shown to be guilty, or all of them forfeit.
abstract contract Disputes is Payouts {
    /// @inheritdoc IJobMarket
    function pinpoint(PinpointProof calldata proof) external nonReentrant {
        (uint256 jobId, uint8 loser) = (proof.jobId, proof.loser);
        Job storage entry = _agreedJob(jobId);
        if (!_has(entry.outvoted, loser)) revert NotOutvoted(jobId, loser);
        if (block.timestamp >= entry.phaseDeadline) {
            revert ChallengeClosed(jobId, entry.phaseDeadline, block.timestamp);
        }
        if (!_agrees(jobId, entry, proof.winner)) revert NotWinner(jobId, proof.winner);
        _checkStages(jobId, loser, proof.loserStages);
        _checkResult(jobId, loser, proof.loserResult);
        _checkResult(jobId, proof.winner, proof.winnerResult);
        uint16 blockIndex = _firstWrongBlock(entry, proof);
        uint256 guilty = _stageOf(proof.loserStages, blockIndex);

        uint256 price = _closeReplica(entry, loser);
        uint256 refund = PayoutLib.bps(price, proof.loserStages[guilty].workBps);
        (PayoutLib.Fees memory fees, uint256 work, address publisher) = _takeFees(entry.modelId, price - refund);
        fees.protocolFee += _payStages(jobId, loser, proof.loserStages, work, guilty);
        _creditFees(jobId, publisher, fees);
        _refund(jobId, entry.requester, refund);
        _punish(jobId, proof.loserStages[guilty].nodeId, loser, proof.position, blockIndex);
        _finishIfJudged(jobId, entry);
    }

    /// @inheritdoc IJobMarket
    function forfeit(uint256 jobId, uint8 index, Stage[] calldata stages) external nonReentrant {
        Job storage entry = _agreedJob(jobId);
        if (!_has(entry.outvoted, index)) revert NotOutvoted(jobId, index);
        if (block.timestamp < entry.phaseDeadline) {
            revert ChallengeStillOpen(jobId, entry.phaseDeadline, block.timestamp);
        }
        _checkStages(jobId, index, stages);

        uint256 price = _closeReplica(entry, index);
        emit ReplicaForfeited(jobId, index);
        _refund(jobId, entry.requester, price);
        uint256 requesterCap = _replicaPriceCap(entry);
        for (uint256 i = 0; i < stages.length; ++i) {
            requesterCap -= _slashStage(jobId, stages[i].nodeId, 0, address(0), 0, requesterCap);
        }
        _finishIfJudged(jobId, entry);
    }

    /// @dev Releases the replica's reserve, one replica's price.
    function _closeReplica(Job storage entry, uint8 index) private returns (uint256 price) {
        price = uint256(entry.units) * entry.pricePerUnit;
        entry.outvoted &= ~(uint8(1) << index);
        entry.escrow -= uint128(price);
        if (entry.outvoted == 0) entry.state = JobState.Final;
    }

    function _finishIfJudged(uint256 jobId, Job storage entry) private {
        if (entry.state == JobState.Final) emit JobFinalized(jobId);
    }

    function _punish(uint256 jobId, uint64 nodeId, uint8 index, uint32 position, uint16 blockIndex) private {
        emit StagePinpointed(jobId, index, nodeId, position, blockIndex);
        _slashStage(jobId, nodeId, _slashBps, msg.sender, _challengerBps, _replicaPriceCap(_jobs[jobId]));
        nodes.jail(nodeId);
    }

    /// @dev The block to blame. Block 0 stands for the lead, which holds it, feeds the tokens and puts the result together.
    function _firstWrongBlock(Job storage entry, PinpointProof calldata proof) private view returns (uint16) {
        (Result calldata lost, Result calldata won) = (proof.loserResult, proof.winnerResult);
        // The same trace, but another output or length: no node but the lead had a hand in that.
        if (lost.traceRoot == won.traceRoot) return 0;

        uint32 shared = uint32(Math.min(lost.units, won.units));
        if (proof.position >= shared) revert PositionOutOfRange(proof.position, shared);
        uint256 borders = uint256(entry.blocks) + 1;
        _checkRow(proof.loser, lost, proof, proof.loserDigests, proof.loserProof, borders);
        _checkRow(proof.winner, won, proof, proof.winnerDigests, proof.winnerProof, borders);
        uint256 border = TraceLib.firstDifference(proof.loserDigests, proof.winnerDigests);
        if (border < borders) return border == 0 ? 0 : uint16(border - 1);

        // Equal links up to the end of the shorter trace: the lead stopped elsewhere, or built its tree wrong.
        if (proof.position != shared - 1) revert NoDifference(proof.position);
        return 0;
    }

    function _checkRow(
        uint8 index,
        Result calldata result,
        PinpointProof calldata proof,
        bytes32[] calldata digests,
        bytes32[] calldata siblings,
        uint256 borders
    ) private pure {
        if (digests.length != borders) revert RowLengthWrong(index, digests.length, borders);
        uint256 depth = TraceLib.depth(result.units);
        if (siblings.length != depth) revert ProofLengthWrong(index, siblings.length, depth);
        bytes32 root = TraceLib.root(TraceLib.link(proof.previous, digests), proof.position, siblings);
        if (root != result.traceRoot) revert TraceRootMismatch(index, result.traceRoot, root);
    }

    function _checkResult(uint256 jobId, uint8 index, Result calldata result) private view {
        bytes32 given = TraceLib.resultHash(result.units, result.outputDigest, result.traceRoot);
        bytes32 revealed = _replicas[jobId][index].resultHash;
        if (given != revealed) revert ResultMismatch(index, revealed, given);
    }

    /// @dev The stages tile all blocks, so there is one.
    function _stageOf(Stage[] calldata stages, uint16 blockIndex) private pure returns (uint256 stage) {
        while (stages[stage].stop <= blockIndex) ++stage;
    }
}
