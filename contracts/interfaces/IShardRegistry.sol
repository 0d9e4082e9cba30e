// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IModelRegistry} from "./IModelRegistry.sol";
import {INodeRegistry} from "./INodeRegistry.sol";
import {IPossession} from "./IPossession.sol";
import {IStakeVault} from "./IStakeVault.sol";

/// @title ShardRegistry: which node serves which blocks.
/// @notice A node claims at most one span of each model. Spans are half-open, `[start, stop)`.
interface IShardRegistry is IPossession {
    event ShardClaimed(uint64 indexed nodeId, bytes32 indexed modelId, uint16 start, uint16 stop);
    event ShardReleased(uint64 indexed nodeId, bytes32 indexed modelId);
    /// @notice Beside `ShardReleased`, where too little stake was left behind a claim.
    /// @param bonded what its operator had staked then, in wei, without what thaws
    /// @param minimum what the model asked for then
    event ShardDropped(
        uint64 indexed nodeId, bytes32 indexed modelId, address indexed caller, uint256 bonded, uint256 minimum
    );

    error UnknownNode(uint64 nodeId);
    error NotNodeKey(uint64 nodeId, address caller);
    error NodeNotServing(uint64 nodeId, INodeRegistry.NodeStatus status);
    error UnknownModel(bytes32 modelId);
    error ModelIsRetired(bytes32 modelId);
    error SpanOutOfRange(uint16 start, uint16 stop, uint16 blocks);
    error StakeBelowMinimum(address operator, uint256 free, uint256 minimum);
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

    function nodes() external view returns (INodeRegistry);

    function models() external view returns (IModelRegistry);

    function vault() external view returns (IStakeVault);

    function stakeToPriceRatio() external view returns (uint32);
}
