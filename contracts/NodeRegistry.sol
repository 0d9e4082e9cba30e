// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {IStakeVault} from "./interfaces/IStakeVault.sol";

/// @title See INodeRegistry.
contract NodeRegistry is INodeRegistry, EIP712 {
    uint256 private constant MAX_ENDPOINT_BYTES = 256;
    bytes32 private constant SIGNER_TYPEHASH = keccak256("Signer(address operator,address signer)");

    /// @inheritdoc INodeRegistry
    IStakeVault public immutable vault;
    /// @inheritdoc INodeRegistry
    uint40 public immutable jailPeriod;
    /// @inheritdoc INodeRegistry
    uint64 public nodeCount;
    /// @inheritdoc INodeRegistry
    mapping(address signer => uint64 nodeId) public nodeOfSigner;

    address private immutable _deployer;
    address private _shards;
    address private _market;
    mapping(uint64 nodeId => Node) private _nodes;

    constructor(IStakeVault vault_, uint40 jailPeriod_) EIP712("Ostraka", "1") {
        vault = vault_;
        jailPeriod = jailPeriod_;
        _deployer = msg.sender;
    }

    /// @inheritdoc INodeRegistry
    function initialize(address shards, address market) external {
        if (msg.sender != _deployer) revert NotDeployer(msg.sender, _deployer);
        if (_market != address(0)) revert AlreadyInitialized(_market);
        if (shards == address(0) || market == address(0)) revert ZeroAddress();
        _shards = shards;
        _market = market;
        emit Initialized(shards, market);
    }

    /// @inheritdoc INodeRegistry
    function register(address signer, string calldata endpoint, bytes calldata signerProof)
        external
        returns (uint64 nodeId)
    {
        _checkEndpoint(endpoint);
        if (nodeOfSigner[signer] != 0) revert SignerTaken(signer, nodeOfSigner[signer]);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(SIGNER_TYPEHASH, msg.sender, signer)));
        (address recovered,,) = ECDSA.tryRecover(digest, signerProof);
        if (recovered == address(0) || recovered != signer) revert BadSignerProof(signer, recovered);

        nodeId = ++nodeCount;
        nodeOfSigner[signer] = nodeId;
        _nodes[nodeId] = Node({operator: msg.sender, status: NodeStatus.Pending, jailedUntil: 0, signer: signer});
        emit NodeRegistered(nodeId, msg.sender, signer, endpoint);
        emit NodeStatusChanged(nodeId, NodeStatus.None, NodeStatus.Pending);
    }

    /// @inheritdoc INodeRegistry
    function setEndpoint(uint64 nodeId, string calldata endpoint) external {
        _own(nodeId);
        _checkEndpoint(endpoint);
        emit NodeEndpointChanged(nodeId, endpoint);
    }

    /// @inheritdoc INodeRegistry
    function drain(uint64 nodeId) external {
        Node storage entry = _own(nodeId);
        if (entry.status != NodeStatus.Active) revert WrongStatus(nodeId, entry.status);
        _move(nodeId, entry, NodeStatus.Draining);
    }

    /// @inheritdoc INodeRegistry
    function resume(uint64 nodeId) external {
        Node storage entry = _own(nodeId);
        if (entry.status != NodeStatus.Draining) revert WrongStatus(nodeId, entry.status);
        _move(nodeId, entry, NodeStatus.Active);
    }

    /// @inheritdoc INodeRegistry
    function exit(uint64 nodeId) external {
        Node storage entry = _own(nodeId);
        NodeStatus status = entry.status;
        if (status == NodeStatus.Exiting) {
            uint256 locked = vault.account(entry.operator).locked;
            if (locked != 0) revert StakeStillLocked(entry.operator, locked);
            _move(nodeId, entry, NodeStatus.Exited);
        } else {
            if (status == NodeStatus.Exited || status == NodeStatus.Jailed) revert WrongStatus(nodeId, status);
            _move(nodeId, entry, NodeStatus.Exiting);
        }
    }

    /// @inheritdoc INodeRegistry
    function unjail(uint64 nodeId) external {
        Node storage entry = _own(nodeId);
        if (entry.status != NodeStatus.Jailed) revert WrongStatus(nodeId, entry.status);
        if (block.timestamp < entry.jailedUntil) revert StillJailed(nodeId, entry.jailedUntil, block.timestamp);
        _move(nodeId, entry, NodeStatus.Pending);
    }

    /// @inheritdoc INodeRegistry
    function activate(uint64 nodeId) external {
        if (msg.sender != _shards) revert NotShardRegistry(msg.sender, _shards);
        Node storage entry = _nodes[nodeId];
        if (entry.status != NodeStatus.Pending) revert WrongStatus(nodeId, entry.status);
        _move(nodeId, entry, NodeStatus.Active);
    }

    /// @inheritdoc INodeRegistry
    function jail(uint64 nodeId) external {
        if (msg.sender != _market) revert NotMarket(msg.sender, _market);
        Node storage entry = _nodes[nodeId];
        if (entry.status == NodeStatus.None || entry.status == NodeStatus.Exited) return;
        entry.jailedUntil = uint40(block.timestamp) + jailPeriod;
        _move(nodeId, entry, NodeStatus.Jailed);
    }

    /// @inheritdoc INodeRegistry
    function node(uint64 nodeId) external view returns (Node memory) {
        return _nodes[nodeId];
    }

    /// @inheritdoc INodeRegistry
    function operatorOf(uint64 nodeId) external view returns (address) {
        return _nodes[nodeId].operator;
    }

    /// @inheritdoc INodeRegistry
    function signerOf(uint64 nodeId) external view returns (address) {
        return _nodes[nodeId].signer;
    }

    /// @inheritdoc INodeRegistry
    function statusOf(uint64 nodeId) external view returns (NodeStatus) {
        return _nodes[nodeId].status;
    }

    function _own(uint64 nodeId) private view returns (Node storage entry) {
        entry = _nodes[nodeId];
        if (entry.status == NodeStatus.None) revert UnknownNode(nodeId);
        if (msg.sender != entry.operator) revert NotOperator(nodeId, msg.sender, entry.operator);
    }

    function _move(uint64 nodeId, Node storage entry, NodeStatus current) private {
        emit NodeStatusChanged(nodeId, entry.status, current);
        entry.status = current;
    }

    function _checkEndpoint(string calldata endpoint) private pure {
        uint256 length = bytes(endpoint).length;
        if (length == 0 || length > MAX_ENDPOINT_BYTES) revert EndpointLengthOutOfRange(length, MAX_ENDPOINT_BYTES);
    }
}
