// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IDisputeCourt} from "../interfaces/IDisputeCourt.sol";
import {IJobs} from "../interfaces/IJobs.sol";
import {TraceLib} from "../libraries/TraceLib.sol";

/// @title Rows of digests against trace roots: docs/protocol.md §7.
abstract contract TraceProofs is IDisputeCourt {
    /// @dev The block to blame. Block 0 stands for the lead too, which holds it, feeds the tokens and puts the result together.
    /// @param loserResult, winnerResult what the two revealed
    /// @return border the first that differs; 0 where nothing but the lead's own doing does
    function _firstWrong(uint16 blocks, bytes32 loserResult, bytes32 winnerResult, PinpointProof calldata proof)
        internal
        view
        returns (uint16 border)
    {
        (IJobs.Result calldata lost, IJobs.Result calldata won) = (proof.loserResult, proof.winnerResult);
        _checkResult(proof.loser, loserResult, lost);
        _checkResult(proof.winner, winnerResult, won);
        // The same trace, but another output or length: no node but the lead had a hand in that.
        if (lost.traceRoot == won.traceRoot) return 0;

        uint32 shared = uint32(Math.min(lost.units, won.units));
        if (proof.position >= shared) revert PositionOutOfRange(proof.position, shared);
        uint256 borders = uint256(blocks) + 1;
        _checkRow(proof.loser, lost, proof.position, proof.previous, proof.loserDigests, proof.loserProof, borders);
        _checkRow(proof.winner, won, proof.position, proof.previous, proof.winnerDigests, proof.winnerProof, borders);
        uint256 first = TraceLib.firstDifference(proof.loserDigests, proof.winnerDigests);
        if (first < borders) return uint16(first);

        // Equal links up to the end of the shorter trace: the lead stopped elsewhere, or built its tree wrong.
        if (proof.position != shared - 1) revert NoDifference(proof.position);
        return 0;
    }

    function _checkRow(
        uint8 index,
        IJobs.Result calldata result,
        uint32 position,
        bytes32 previous,
        bytes32[] calldata digests,
        bytes32[] calldata siblings,
        uint256 borders
    ) internal view {
        if (digests.length != borders) revert RowLengthWrong(index, digests.length, borders);
        uint256 depth = TraceLib.depth(result.units);
        if (siblings.length != depth) revert ProofLengthWrong(index, siblings.length, depth);
        bytes32 root = TraceLib.root(TraceLib.link(previous, digests), position, siblings);
        if (root != result.traceRoot) revert TraceRootMismatch(index, result.traceRoot, root);
    }

    function _checkResult(uint8 index, bytes32 revealed, IJobs.Result calldata result) internal pure {
        bytes32 given = TraceLib.resultHash(result.units, result.outputDigest, result.traceRoot);
        if (given != revealed) revert ResultMismatch(index, revealed, given);
    }

    /// @dev The stages tile all blocks, so there is one.
    function _stageOf(IJobs.Stage[] calldata stages, uint16 blockIndex) internal pure returns (uint256 stage) {
        while (stages[stage].stop <= blockIndex) ++stage;
    }
}
