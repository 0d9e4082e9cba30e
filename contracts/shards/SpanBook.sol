// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IShardRegistry} from "../interfaces/IShardRegistry.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";

/// @title What claims and challenges share: the spans, and whose they are.
abstract contract SpanBook is IShardRegistry {
    struct Span {
        uint16 start;
        uint16 stop;
    }

    /// @inheritdoc IShardRegistry
    INodeRegistry public immutable nodes;
    /// @inheritdoc IShardRegistry
    IModelRegistry public immutable models;
    /// @inheritdoc IShardRegistry
    IStakeVault public immutable vault;

    mapping(uint64 nodeId => mapping(bytes32 modelId => Span)) internal _spans;

    constructor(INodeRegistry nodes_, IModelRegistry models_, IStakeVault vault_) {
        nodes = nodes_;
        models = models_;
        vault = vault_;
    }

    /// @dev Says nothing where nothing is claimed: a challenged node may have released its span.
    function _drop(uint64 nodeId, bytes32 modelId) internal {
        if (_spans[nodeId][modelId].stop == 0) return;
        delete _spans[nodeId][modelId];
        emit ShardReleased(nodeId, modelId);
    }

    function _ownNode(uint64 nodeId) internal view returns (INodeRegistry.Node memory node) {
        node = nodes.node(nodeId);
        if (node.status == INodeRegistry.NodeStatus.None) revert UnknownNode(nodeId);
        if (msg.sender != node.signer && msg.sender != node.operator) revert NotNodeKey(nodeId, msg.sender);
    }
}
