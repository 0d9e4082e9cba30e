// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IJobs} from "../interfaces/IJobs.sol";
import {AssignmentLib} from "../libraries/AssignmentLib.sol";
import {PayoutLib} from "../libraries/PayoutLib.sol";
import {TraceLib} from "../libraries/TraceLib.sol";

/// @title For tests: the libraries' internal functions, callable.
contract LibraryHarness {
    function resultHash(uint32 units, bytes32 outputDigest, bytes32 traceRoot) external pure returns (bytes32) {
        return TraceLib.resultHash(units, outputDigest, traceRoot);
    }

    function link(bytes32 previous, bytes32[] calldata digests) external pure returns (bytes32) {
        return TraceLib.link(previous, digests);
    }

    function depth(uint32 count) external pure returns (uint256) {
        return TraceLib.depth(count);
    }

    function root(bytes32 value, uint32 index, bytes32[] calldata proof) external view returns (bytes32) {
        return TraceLib.root(value, index, proof);
    }

    function firstDifference(bytes32[] calldata left, bytes32[] calldata right) external pure returns (uint256) {
        return TraceLib.firstDifference(left, right);
    }

    function hashAssignment(uint256 jobId, uint8 replica, IJobs.Stage[] calldata stages)
        external
        pure
        returns (bytes32)
    {
        return AssignmentLib.hashAssignment(jobId, replica, stages);
    }

    function hashAttestation(bytes32 assignment, bytes32 commitment) external pure returns (bytes32) {
        return AssignmentLib.hashAttestation(assignment, commitment);
    }

    function hashCommitment(
        uint256 jobId,
        uint8 replica,
        address sender,
        bytes32 result,
        bytes32 traceRoot,
        bytes32 salt
    ) external view returns (bytes32) {
        return AssignmentLib.hashCommitment(jobId, replica, sender, result, traceRoot, salt);
    }

    function takeFees(uint256 price, uint16 protocolFeeBps, uint16 royaltyBps, uint16 orchestratorFeeBps)
        external
        pure
        returns (uint256 protocolFee, uint256 royalty, uint256 orchestratorFee, uint256 work)
    {
        PayoutLib.Fees memory fees;
        (fees, work) = PayoutLib.takeFees(price, protocolFeeBps, royaltyBps, orchestratorFeeBps);
        return (fees.protocolFee, fees.royalty, fees.orchestratorFee, work);
    }

    function splitSlash(uint256 slashed, uint256 challengerBps, uint256 requesterCap)
        external
        pure
        returns (uint256 toChallenger, uint256 toRequester, uint256 burnt)
    {
        return PayoutLib.splitSlash(slashed, challengerBps, requesterCap);
    }

    function bps(uint256 amount, uint256 shareBps) external pure returns (uint256) {
        return PayoutLib.bps(amount, shareBps);
    }

    function stageShare(uint256 work, uint256 workBps, uint256 allBps) external pure returns (uint256) {
        return PayoutLib.stageShare(work, workBps, allBps);
    }

    function splitEpoch(uint256 escrow, uint256 jobs, uint256 voided, uint256 pricePerJob, uint256 winners)
        external
        pure
        returns (uint256 price, uint256 refund)
    {
        return PayoutLib.splitEpoch(escrow, jobs, voided, pricePerJob, winners);
    }

    function fraudSlash(uint256 all, uint256 lock, uint256 extraBps) external pure returns (uint256) {
        return PayoutLib.fraudSlash(all, lock, extraBps);
    }

    function splitPot(uint256 pot, uint256 count) external pure returns (uint256 share, uint256 left) {
        return PayoutLib.splitPot(pot, count);
    }

    function seal(uint32 lead, uint8 followers, bytes32 assignment, bytes32 commitment) external pure returns (bytes32) {
        return AssignmentLib.seal(AssignmentLib.sealHead(lead, followers), assignment, commitment);
    }

    function hashSettlement(uint256 jobId, bytes32 result, bytes32[] calldata assignments)
        external
        pure
        returns (bytes32)
    {
        return AssignmentLib.hashSettlement(jobId, result, assignments);
    }
}
