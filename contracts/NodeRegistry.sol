// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {Entries} from "./access/Entries.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {IStakeVault} from "./interfaces/IStakeVault.sol";
import {SignatureLib} from "./libraries/SignatureLib.sol";

/// @title See INodeRegistry.
contract NodeRegistry is INodeRegistry, EIP712, Entries {
    uint256 private constant MAX_ENDPOINT_BYTES = 256;
    /// @dev One slot, by the key that signs: all that checking a signature needs. A key that was rotated away keeps its
    /// `nodeId`, so that nobody registers it again, and has status None.
    struct Key {
        address operator;
        uint48 nodeId;
        uint32 operatorId;
        NodeStatus status;
    }

    /// @dev Which key is a node's, and until when it is jailed.
    struct Holder {
        address signer;
        uint40 jailedUntil;
    }

    bytes32 private constant SIGNER_TYPEHASH = keccak256("Signer(address operator,address signer)");

    /// @inheritdoc INodeRegistry
    IStakeVault public immutable vault;
    /// @inheritdoc INodeRegistry
    uint40 public immutable jailPeriod;
    /// @inheritdoc INodeRegistry
    uint64 public nodeCount;

    address private immutable _deployer;
    address private _shards;
    address private _market;
    mapping(address signer => Key) private _keys;
    mapping(uint64 nodeId => Holder) private _holders;

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
    function register(address signer, string calldata endpoint, bytes calldata signerProof, uint256 stakeAmount)
        external
        whenOpen
        returns (uint64 nodeId)
    {
        _checkEndpoint(endpoint);
        _checkKey(signer, signerProof);

        nodeId = ++nodeCount;
        uint32 operatorId = vault.enroll(msg.sender, stakeAmount);
        _keys[signer] = Key(msg.sender, uint48(nodeId), operatorId, NodeStatus.Pending);
        _holders[nodeId].signer = signer;
        emit NodeRegistered(nodeId, msg.sender, signer, endpoint);
        emit NodeStatusChanged(nodeId, NodeStatus.None, NodeStatus.Pending);
    }

    /// @inheritdoc INodeRegistry
    function rotateKey(uint64 nodeId, address signer, bytes calldata signerProof) external {
        Key storage key = _own(nodeId);
        if (key.status == NodeStatus.Exited) revert WrongStatus(nodeId, key.status);
        _checkKey(signer, signerProof);

        address previous = _holders[nodeId].signer;
        _keys[signer] = key;
        _keys[previous] = Key(address(0), uint48(nodeId), 0, NodeStatus.None);
        _holders[nodeId].signer = signer;
        emit NodeKeyRotated(nodeId, previous, signer);
    }

    /// @inheritdoc INodeRegistry
    function setEndpoint(uint64 nodeId, string calldata endpoint) external {
        _own(nodeId);
        _checkEndpoint(endpoint);
        emit NodeEndpointChanged(nodeId, endpoint);
    }

    /// @inheritdoc INodeRegistry
    function drain(uint64 nodeId) external {
        Key storage entry = _own(nodeId);
        if (entry.status != NodeStatus.Active) revert WrongStatus(nodeId, entry.status);
        _move(nodeId, entry, NodeStatus.Draining);
    }

    /// @inheritdoc INodeRegistry
    function resume(uint64 nodeId) external {
        Key storage entry = _own(nodeId);
        if (entry.status != NodeStatus.Draining) revert WrongStatus(nodeId, entry.status);
        _move(nodeId, entry, NodeStatus.Active);
    }

    /// @inheritdoc INodeRegistry
    function exit(uint64 nodeId) external {
        Key storage entry = _own(nodeId);
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
        Key storage entry = _own(nodeId);
        if (entry.status != NodeStatus.Jailed) revert WrongStatus(nodeId, entry.status);
        uint256 until = _holders[nodeId].jailedUntil;
        if (block.timestamp < until) revert StillJailed(nodeId, until, block.timestamp);
        _move(nodeId, entry, NodeStatus.Pending);
    }

    /// @inheritdoc INodeRegistry
    function activate(uint64 nodeId) external {
        if (msg.sender != _shards) revert NotShardRegistry(msg.sender, _shards);
        Key storage entry = _keyOf(nodeId);
        if (entry.status != NodeStatus.Pending) revert WrongStatus(nodeId, entry.status);
        _move(nodeId, entry, NodeStatus.Active);
    }

    /// @inheritdoc INodeRegistry
    function jail(uint64 nodeId) external {
        if (msg.sender != _market && msg.sender != _shards) revert NotMarket(msg.sender, _market);
        Key storage entry = _keyOf(nodeId);
        if (entry.status == NodeStatus.None || entry.status == NodeStatus.Exited) return;
        _holders[nodeId].jailedUntil = uint40(block.timestamp) + jailPeriod;
        _move(nodeId, entry, NodeStatus.Jailed);
    }

    /// @inheritdoc INodeRegistry
    function node(uint64 nodeId) external view returns (Node memory) {
        Holder storage holder = _holders[nodeId];
        Key storage key = _keys[holder.signer];
        return Node(key.operator, key.operatorId, key.status, holder.jailedUntil, holder.signer);
    }

    /// @inheritdoc INodeRegistry
    function nodeOfSigner(address signer) external view returns (uint64) {
        Key storage key = _keys[signer];
        return key.status == NodeStatus.None ? 0 : key.nodeId;
    }

    /// @inheritdoc INodeRegistry
    function nodeEverOf(address signer) external view returns (uint64) {
        return _keys[signer].nodeId;
    }

    /// @inheritdoc INodeRegistry
    function identify(address signer) external view returns (uint64 nodeId, uint32 operatorId, NodeStatus status) {
        Key storage key = _keys[signer];
        status = key.status;
        if (status != NodeStatus.None) (nodeId, operatorId) = (key.nodeId, key.operatorId);
    }

    /// @inheritdoc INodeRegistry
    function operatorOf(uint64 nodeId) external view returns (address) {
        return _keyOf(nodeId).operator;
    }

    /// @inheritdoc INodeRegistry
    function signerOf(uint64 nodeId) external view returns (address) {
        return _holders[nodeId].signer;
    }

    /// @inheritdoc INodeRegistry
    function statusOf(uint64 nodeId) external view returns (NodeStatus) {
        return _keyOf(nodeId).status;
    }

    /// @dev For an id that does not exist, the zero address's key: no node's, because nobody signs for that address.
    function _keyOf(uint64 nodeId) private view returns (Key storage) {
        return _keys[_holders[nodeId].signer];
    }

    function _own(uint64 nodeId) private view returns (Key storage entry) {
        entry = _keyOf(nodeId);
        if (entry.status == NodeStatus.None) revert UnknownNode(nodeId);
        if (msg.sender != entry.operator) revert NotOperator(nodeId, msg.sender, entry.operator);
    }

    /// @dev A key that is free, and whose holder says that it belongs to the caller.
    function _checkKey(address signer, bytes calldata signerProof) private view {
        if (_keys[signer].nodeId != 0) revert SignerTaken(signer, _keys[signer].nodeId);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(SIGNER_TYPEHASH, msg.sender, signer)));
        address recovered = SignatureLib.recover(digest, signerProof);
        if (recovered == address(0) || recovered != signer) revert BadSignerProof(signer, recovered);
    }

    function _move(uint64 nodeId, Key storage entry, NodeStatus current) private {
        emit NodeStatusChanged(nodeId, entry.status, current);
        entry.status = current;
    }

    function _checkEndpoint(string calldata endpoint) private pure {
        uint256 length = bytes(endpoint).length;
        if (length == 0 || length > MAX_ENDPOINT_BYTES) revert EndpointLengthOutOfRange(length, MAX_ENDPOINT_BYTES);
    }
}
