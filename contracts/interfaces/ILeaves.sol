// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IJobs} from "./IJobs.sol";
import {ICases} from "./ICases.sol";

/// @title Adjudicator, 2: one wrong product of integers decides.
/// @notice A model's publisher publishes once where its weight rows are proved. An accused stage may post the root of all the
/// integer products of its block. Anyone may then show one of them that is wrong: the contract multiplies it out. Who computed
/// right cannot be found guilty: only a stage's own node posts for it, and everything it posts it has computed.
/// Bytes: docs/protocol.md §8.
interface ILeaves {
    /// @notice One row of one product: the weights' place under the model's root, the claim's under the side's.
    /// @param op which matrix of the block
    /// @param pass 0 the row of int8; 1 and 2 the low and the high limb of its outliers
    /// @param row which row of the matrix
    /// @param length K, 1 to 65 536
    /// @param weights int8, padded with zeros to whole words, then reversed
    /// @param activations int8, padded with zeros to whole words
    /// @param claimed the sum that the side posted
    struct Leaf {
        uint16 op;
        uint8 pass;
        uint32 row;
        uint32 length;
        int32 claimed;
        bytes weights;
        bytes activations;
        uint32 weightIndex;
        uint32 claimIndex;
        bytes32[] weightProof;
        bytes32[] claimProof;
    }

    /// @notice It is known where the model's weight rows are proved, for jobs after `afterJob`.
    event WeightsPublished(bytes32 indexed modelId, bytes32 root, uint256 afterJob);
    /// @notice The accused stage of a side has posted the root of its products.
    event TracePosted(uint256 indexed disputeId, ICases.Side indexed side, uint64 indexed nodeId, bytes32 root);
    /// @notice A posted product is wrong: the side is guilty.
    /// @param right what the contract computed
    event LeafProven(
        uint256 indexed disputeId, ICases.Side indexed side, uint16 op, uint8 pass, uint32 row, int256 claimed, int256 right
    );

    /// @notice Only the model's publisher may say where its weights are proved.
    error NotPublisher(bytes32 modelId, address caller, address publisher);
    /// @notice A root, once published, cannot be changed.
    error WeightsAlreadyPublished(bytes32 modelId);
    /// @notice 0 stands for no root.
    error ZeroRoot();
    /// @notice Only the signer or the operator of the accused node posts for its stage.
    error NotAccused(address caller, uint64 nodeId);
    /// @notice The side has posted its root, which cannot be changed.
    error TraceAlreadyPosted(uint256 disputeId, ICases.Side side);
    /// @notice The side has posted nothing that could be proved wrong; votes decide.
    error NoTrace(uint256 disputeId, ICases.Side side);
    /// @notice No weights' root counts for this job: there is none, or it came after the submission. Votes decide.
    error NoWeights(bytes32 modelId, uint256 jobId, uint256 afterJob);
    /// @notice The side is proven wrong already.
    error AlreadyProven(uint256 disputeId, ICases.Side side);
    /// @notice A product has 1 to `most` terms.
    error LengthOutOfRange(uint32 length, uint32 most);
    /// @notice Weights and activations must be padded to `expected` bytes, whole words.
    error LeafSizeWrong(uint256 weights, uint256 activations, uint256 expected);
    /// @notice The weights and their proof do not lead to the root that the publisher published.
    error WeightsMismatch(bytes32 published, bytes32 given);
    /// @notice The claim and its proof do not lead to the root that the side posted.
    error ClaimMismatch(bytes32 posted, bytes32 given);
    /// @notice The sum is what the side posted: there is nothing to prove.
    error LeafIsRight(uint16 op, uint8 pass, uint32 row, int256 claimed);

    /// @notice Publishes the Merkle root over all weight rows of a model; it counts for jobs submitted from then on, so that
    /// nodes can check it before they take one. By the model's publisher, once.
    function publishWeights(bytes32 modelId, bytes32 root) external;

    /// @notice Posts the Merkle root over the products of the disputed block at the disputed position. By the signer or the operator
    /// of the node that ran the block on that side, once, until the case is closed.
    /// @param replica what the side committed with
    function postTrace(uint256 disputeId, ICases.Side side, bytes32 root, IJobs.Sealed calldata replica) external;

    /// @notice Shows that a product which a side posted is wrong. By anyone. The answer follows at once where the other side is
    /// proven wrong too, or has posted nothing; else `proofSeconds` later by `close`, and at once where that would be too late.
    function proveLeaf(uint256 disputeId, ICases.Side side, Leaf calldata leaf) external;

    /// @notice Where a model's weight rows are proved; it counts for jobs after `afterJob`. Zero where nothing is published.
    function weightsOf(bytes32 modelId) external view returns (bytes32 root, uint64 afterJob);

    /// @notice Zero where nothing was posted.
    function traceOf(uint256 disputeId, ICases.Side side) external view returns (bytes32);
}
