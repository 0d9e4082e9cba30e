// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {IShardRegistry} from "./interfaces/IShardRegistry.sol";
import {IStakeVault} from "./interfaces/IStakeVault.sol";
import {Possession} from "./shards/Possession.sol";
import {SpanBook} from "./shards/SpanBook.sol";

/// @title See IShardRegistry. This file: claims. Challenges are in shards/Possession.sol.
contract ShardRegistry is Possession {
    /// @inheritdoc IShardRegistry
    uint32 public immutable stakeToPriceRatio;

    constructor(
        INodeRegistry nodes_,
        IModelRegistry models_,
        IStakeVault vault_,
        uint32 stakeToPriceRatio_,
        Terms memory terms
    ) SpanBook(nodes_, models_, vault_) Possession(terms) {
        stakeToPriceRatio = stakeToPriceRatio_;
    }

    /// @inheritdoc IShardRegistry
    function claim(uint64 nodeId, bytes32 modelId, uint16 start, uint16 stop) external whenOpen {
        INodeRegistry.Node memory node = _ownNode(nodeId);
        bool pending = node.status == INodeRegistry.NodeStatus.Pending;
        if (!pending && node.status != INodeRegistry.NodeStatus.Active) revert NodeNotServing(nodeId, node.status);
        (uint16 blocks, uint32 maxUnits, uint96 pricePerUnit,, bool retired,) = models.offer(modelId);
        if (blocks == 0) revert UnknownModel(modelId);
        if (retired) revert ModelIsRetired(modelId);
        if (start >= stop || stop > blocks) revert SpanOutOfRange(start, stop, blocks);
        uint256 free = vault.free(node.operator);
        uint256 minimum = uint256(stakeToPriceRatio) * pricePerUnit * maxUnits;
        if (free < minimum) revert StakeBelowMinimum(node.operator, free, minimum);

        _spans[nodeId][modelId] = Span(start, stop);
        emit ShardClaimed(nodeId, modelId, start, stop);
        if (pending) nodes.activate(nodeId);
    }

    /// @inheritdoc IShardRegistry
    function release(uint64 nodeId, bytes32 modelId) external {
        _ownNode(nodeId);
        if (_spans[nodeId][modelId].stop == 0) revert NothingClaimed(nodeId, modelId);

        _drop(nodeId, modelId);
    }

    /// @inheritdoc IShardRegistry
    function drop(uint64 nodeId, bytes32 modelId) external {
        address operator = nodes.operatorOf(nodeId);
        if (operator == address(0)) revert UnknownNode(nodeId);
        if (_spans[nodeId][modelId].stop == 0) revert NothingClaimed(nodeId, modelId);
        // Locked stake counts, as it does not for a claim: a node at work keeps what it claimed.
        uint256 bonded = vault.account(operator).staked;
        uint256 minimum = minimumStake(modelId);
        if (bonded >= minimum) revert StakeSuffices(operator, bonded, minimum);

        emit ShardDropped(nodeId, modelId, msg.sender, bonded, minimum);
        _drop(nodeId, modelId);
    }

    /// @inheritdoc IShardRegistry
    function covers(uint64 nodeId, bytes32 modelId, uint16 start, uint16 stop) external view returns (bool) {
        Span storage span = _spans[nodeId][modelId];
        return span.start <= start && start < stop && stop <= span.stop;
    }

    /// @inheritdoc IShardRegistry
    function spanOf(uint64 nodeId, bytes32 modelId) external view returns (uint16 start, uint16 stop) {
        Span storage span = _spans[nodeId][modelId];
        return (span.start, span.stop);
    }

    /// @inheritdoc IShardRegistry
    function minimumStake(bytes32 modelId) public view returns (uint256) {
        (, uint32 maxUnits, uint96 pricePerUnit,,,) = models.offer(modelId);
        return uint256(stakeToPriceRatio) * pricePerUnit * maxUnits;
    }
}
