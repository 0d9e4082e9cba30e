// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IModelRegistry} from "./IModelRegistry.sol";
import {INodeRegistry} from "./INodeRegistry.sol";
import {IPossession} from "./IPossession.sol";
import {IStakeVault} from "./IStakeVault.sol";

/// @title ShardRegistry: which node serves which blocks.
/// @notice A node claims at most one span of each model. Spans are half-open, `[start, stop)`.
interface IShardRegistry is IPossession {
    /// @notice The node serves blocks `[start, stop)` of the model from now on.
    event ShardClaimed(uint64 indexed nodeId, bytes32 indexed modelId, uint16 start, uint16 stop);
    /// @notice The node serves nothing of the model any more, by itself or because it failed a challenge.
    event ShardReleased(uint64 indexed nodeId, bytes32 indexed modelId);
    /// @notice Beside `ShardReleased`, where too little stake was left behind a claim.
    /// @param bonded what its operator had staked then, in wei, without what thaws
    /// @param minimum what the model asked for then
    event ShardDropped(
        uint64 indexed nodeId, bytes32 indexed modelId, address indexed caller, uint256 bonded, uint256 minimum
    );

    /// @notice No node has this number.
    error UnknownNode(uint64 nodeId);
    /// @notice Only the node's signer or operator may do this.
    error NotNodeKey(uint64 nodeId, address caller);
    /// @notice The node's status lets it serve nothing: a claim wants Pending or Active, a challenge Active or Draining.
    error NodeNotServing(uint64 nodeId, INodeRegistry.NodeStatus status);
    /// @notice No model was published under this digest.
    error UnknownModel(bytes32 modelId);
    /// @notice Its publisher has retired the model: it takes no new claims.
    error ModelIsRetired(bytes32 modelId);
    /// @notice A span has a block at least, and ends within the model.
    error SpanOutOfRange(uint16 start, uint16 stop, uint16 blocks);
    /// @notice The operator's free stake is below `minimumStake(modelId)`, in wei of the token; stake more.
    error StakeBelowMinimum(address operator, uint256 free, uint256 minimum);
    /// @notice The node claims nothing of this model.
    error NothingClaimed(uint64 nodeId, bytes32 modelId);
    /// @notice The claim stands: its operator has bonded what the model asks for, or more. In wei of the token.
    error StakeSuffices(address operator, uint256 bonded, uint256 minimum);

    /// @notice Claims a span, in the place of the one the node claimed of this model before. A Pending node becomes
    /// Active. May be paused. By the node's signer or operator.
    function claim(uint64 nodeId, bytes32 modelId, uint16 start, uint16 stop) external;

    /// @notice Gives a span up; an open challenge stays open. By the node's signer or operator.
    function release(uint64 nodeId, bytes32 modelId) external;

    /// @notice Ends a claim behind which too little stake is left: its operator's bonded stake, which locks are part of and
    /// what thaws is not, is below `minimumStake(modelId)`, because it was taken back or slashed or the price went up. As the
    /// node's own release, and likewise cannot be paused. By anyone.
    function drop(uint64 nodeId, bytes32 modelId) external;

    /// @notice Whether the node's claim holds all of `[start, stop)`.
    function covers(uint64 nodeId, bytes32 modelId, uint16 start, uint16 stop) external view returns (bool);

    /// @notice The claimed span; `(0, 0)` where there is none.
    function spanOf(uint64 nodeId, bytes32 modelId) external view returns (uint16 start, uint16 stop);

    /// @notice `stakeToPriceRatio` times the price of the model's largest job: free stake that a claim asks for, and bonded stake
    /// below which anyone may end it.
    function minimumStake(bytes32 modelId) external view returns (uint256);

    /// @notice Which nodes there are, and whose.
    function nodes() external view returns (INodeRegistry);

    /// @notice Which models there are, and what they cost.
    function models() external view returns (IModelRegistry);

    /// @notice Where operators' stake lies.
    function vault() external view returns (IStakeVault);

    /// @notice How many prices of a model's largest job a claim wants in free stake.
    function stakeToPriceRatio() external view returns (uint32);
}
