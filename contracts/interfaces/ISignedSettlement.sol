// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IJobMarket} from "./IJobMarket.sol";
import {IJobs} from "./IJobs.sol";

/// @title SignedSettlement: a job that everybody concerned agrees about is paid in one transaction.
/// @notice Whoever signs says that the work is done and paid right, so there are no votes, no locks and no score.
interface ISignedSettlement {
    /// @notice It takes the requester's, the orchestrator's and every stage's signature.
    error SignatureCountWrong(uint256 signatures, uint256 expected);
    /// @notice The signer of a stage's node did not sign this settlement.
    error BadNodeSignature(uint64 nodeId, address recovered);
    /// @notice An operator may serve one replica of a job only.
    error OperatorServesTwice(uint256 jobId, uint32 operatorId);

    /// @notice Pays a job to which nobody has committed. By anyone.
    /// @param replicas the stages of all R replicas
    /// @param signatures over `Settlement(uint256 jobId,bytes32 resultHash,Assignment[] replicas)` in this contract's domain: the
    /// requester's, the orchestrator's, then each stage's, replica by replica
    function settleSigned(
        uint256 jobId,
        IJobs.Result calldata result,
        IJobs.Stage[][] calldata replicas,
        bytes[] calldata signatures
    ) external;

    /// @notice The market whose jobs are paid.
    function market() external view returns (IJobMarket);
}
