// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IStakeVault} from "./IStakeVault.sol";

/// @title NodeRegistry: which machines there are, who owns them, and which may work.
/// @notice A node has a cold operator account, which owns the stake, and a hot signer key, which signs work.
/// Ids count from 1. The endpoint stands in events only.
interface INodeRegistry {
    /// @dev `None → Pending → Active ⇄ Draining → Exiting → Exited`; `Active, Draining, Exiting → Jailed → Pending`.
    enum NodeStatus {
        None,
        Pending,
        Active,
        Draining,
        Exiting,
        Exited,
        Jailed
    }

    /// @param operatorId the operator's short id in the StakeVault
    /// @param jailedUntil timestamp from which `unjail` works; 0 where the node was never jailed
    struct Node {
        address operator;
        uint32 operatorId;
        NodeStatus status;
        uint40 jailedUntil;
        address signer;
    }

    /// @notice The contracts that may activate and jail are named, once and for ever.
    event Initialized(address indexed shards, address indexed market);
    /// @notice There is a new node, Pending until it claims a shard.
    event NodeRegistered(uint64 indexed nodeId, address indexed operator, address indexed signer, string endpoint);
    /// @notice The node is reached elsewhere from now on.
    event NodeEndpointChanged(uint64 indexed nodeId, string endpoint);
    /// @notice Another key signs for the node from now on.
    event NodeKeyRotated(uint64 indexed nodeId, address indexed previous, address indexed current);
    /// @notice The node's status is another.
    event NodeStatusChanged(uint64 indexed nodeId, NodeStatus previous, NodeStatus current);

    /// @notice Only the account that created this contract may name the others.
    error NotDeployer(address caller, address deployer);
    /// @notice The others were named before and cannot be changed.
    error AlreadyInitialized(address market);
    /// @notice An address that is needed was left out.
    error ZeroAddress();
    /// @notice Only the ShardRegistry activates nodes: claim a shard.
    error NotShardRegistry(address caller, address shards);
    /// @notice Only the market and the ShardRegistry jail nodes.
    error NotMarket(address caller, address market);
    /// @notice No node has this number.
    error UnknownNode(uint64 nodeId);
    /// @notice Only the node's operator may do this.
    error NotOperator(uint64 nodeId, address caller, address operator);
    /// @notice An endpoint has 1 to `maxLength` bytes.
    error EndpointLengthOutOfRange(uint256 length, uint256 maxLength);
    /// @notice The key is or was a node's, and a key is never used again; make a new one.
    /// @param nodeId whose it is or was
    error SignerTaken(address signer, uint64 nodeId);
    /// @notice The proof is not the signer's signature over operator and signer.
    error BadSignerProof(address signer, address recovered);
    /// @notice This call does not fit the node's status; docs/contracts/states.md has the order of calls.
    error WrongStatus(uint64 nodeId, NodeStatus status);
    /// @notice The node may leave the jail from `jailedUntil` on.
    error StillJailed(uint64 nodeId, uint256 jailedUntil, uint256 nowAt);
    /// @notice Some of the operator's stake still stands behind work; exit again when nothing is locked.
    error StakeStillLocked(address operator, uint256 locked);

    /// @notice Names the contracts that may activate and jail. By the deployer, once.
    function initialize(address shards, address market) external;

    /// @notice Registers a node of the caller, and stakes for it in the same transaction. May be paused.
    /// @param signer the hot key; it may belong to one node only, for ever
    /// @param endpoint where the node is reached, 1 to 256 bytes
    /// @param signerProof the signer's EIP-712 signature over `Signer(address operator,address signer)`
    /// @param stakeAmount wei of the token to add to the caller's stake, approved to the vault; may be 0
    function register(address signer, string calldata endpoint, bytes calldata signerProof, uint256 stakeAmount)
        external
        returns (uint64 nodeId);

    /// @notice Gives a node another hot key. The former key signs for nothing any more and can never be registered again;
    /// what it committed it can still reveal. By the operator.
    /// @param signerProof as for `register`
    function rotateKey(uint64 nodeId, address signer, bytes calldata signerProof) external;

    /// @notice Announces a new endpoint. By the operator.
    function setEndpoint(uint64 nodeId, string calldata endpoint) external;

    /// @notice Takes no new work, keeps what it has: Active → Draining. By the operator.
    function drain(uint64 nodeId) external;

    /// @notice Draining → Active. By the operator.
    function resume(uint64 nodeId) external;

    /// @notice Pending, Active or Draining → Exiting; called again when none of the operator's stake is locked, → Exited.
    /// By the operator.
    function exit(uint64 nodeId) external;

    /// @notice Jailed → Pending, from `jailedUntil` on. By the operator. The node must claim a shard to work again.
    function unjail(uint64 nodeId) external;

    /// @notice Pending → Active. By the ShardRegistry.
    function activate(uint64 nodeId) external;

    /// @notice Any status but Exited → Jailed. By the market, or the ShardRegistry. Never reverts for it.
    function jail(uint64 nodeId) external;

    /// @notice All zero for an id that does not exist.
    function node(uint64 nodeId) external view returns (Node memory);

    /// @notice 0 for a key that signs for no node.
    function nodeOfSigner(address signer) external view returns (uint64);

    /// @notice Whose key this is or was before it was rotated away; 0 for a key that never was a node's.
    function nodeEverOf(address signer) external view returns (uint64);

    /// @notice Whose key this is, in one storage read; all zero for a key that signs for no node.
    function identify(address signer) external view returns (uint64 nodeId, uint32 operatorId, NodeStatus status);

    /// @notice The account that owns the node and its stake; zero where there is no such node.
    function operatorOf(uint64 nodeId) external view returns (address);

    /// @notice The key that signs for the node now; zero where there is no such node.
    function signerOf(uint64 nodeId) external view returns (address);

    /// @notice The node's status; None where there is no such node.
    function statusOf(uint64 nodeId) external view returns (NodeStatus);

    /// @notice How many nodes were ever registered, which is the number of the last.
    function nodeCount() external view returns (uint64);

    /// @notice Where operators' stake lies.
    function vault() external view returns (IStakeVault);

    /// @notice Seconds between `jail` and `unjail`.
    function jailPeriod() external view returns (uint40);
}
