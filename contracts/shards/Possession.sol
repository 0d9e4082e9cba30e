// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {Entries} from "../access/Entries.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IOstrakaToken} from "../interfaces/IOstrakaToken.sol";
import {IPossession} from "../interfaces/IPossession.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {FutureBlock} from "../libraries/FutureBlock.sol";
import {PayoutLib} from "../libraries/PayoutLib.sol";
import {TraceLib} from "../libraries/TraceLib.sol";
import {SpanBook} from "./SpanBook.sol";

/// @title See IPossession.
abstract contract Possession is SpanBook, Entries {
    using SafeERC20 for IOstrakaToken;

    uint256 private constant CHALLENGER_BPS = 3_000;

    uint32 private immutable _windowSeconds;
    uint32 private immutable _cooldownSeconds;
    uint96 private immutable _bond;
    uint96 private immutable _minSlash;
    uint16 private immutable _slashBps;
    IOstrakaToken private immutable _token;

    /// @inheritdoc IPossession
    uint256 public challengeCount;
    /// @inheritdoc IPossession
    uint256 public openBonds;
    /// @inheritdoc IPossession
    mapping(address account => uint256) public balanceOf;
    /// @inheritdoc IPossession
    mapping(uint64 nodeId => mapping(bytes32 modelId => uint256)) public openChallenge;
    /// @inheritdoc IPossession
    mapping(uint64 nodeId => mapping(bytes32 modelId => uint256)) public challengeableAt;
    mapping(uint256 challengeId => Challenge) private _challenges;

    constructor(Terms memory terms) {
        if (terms.windowSeconds == 0 || terms.slashBps > PayoutLib.ALL_BPS) {
            revert TermsOutOfRange(terms.windowSeconds, terms.slashBps);
        }
        _windowSeconds = terms.windowSeconds;
        _cooldownSeconds = terms.cooldownSeconds;
        _bond = terms.bond;
        _minSlash = terms.minSlash;
        _slashBps = terms.slashBps;
        _token = vault.token();
    }

    /// @inheritdoc IPossession
    function challenge(uint64 nodeId, bytes32 modelId) external whenOpen returns (uint256 challengeId) {
        INodeRegistry.Node memory node = nodes.node(nodeId);
        if (node.status == INodeRegistry.NodeStatus.None) revert UnknownNode(nodeId);
        // Others get no work. A draining node does again once it resumes.
        if (node.status != INodeRegistry.NodeStatus.Active && node.status != INodeRegistry.NodeStatus.Draining) {
            revert NodeNotServing(nodeId, node.status);
        }
        Span memory span = _spans[nodeId][modelId];
        if (span.stop == 0) revert NothingClaimed(nodeId, modelId);
        uint256 open = openChallenge[nodeId][modelId];
        if (open != 0) revert ChallengeStillOpen(nodeId, modelId, open);
        uint256 from = challengeableAt[nodeId][modelId];
        if (block.timestamp < from) revert StillCoolingDown(nodeId, modelId, from, block.timestamp);

        challengeId = ++challengeCount;
        openChallenge[nodeId][modelId] = challengeId;
        openBonds += _bond;
        // Less than the penalty may be free. The challenge stands all the same: a slash takes other stake too.
        uint256 penalty = _penaltyOf(node.operator);
        uint256 locked = Math.min(penalty, vault.free(node.operator));
        Challenge storage made = _challenges[challengeId];
        made.state = ChallengeState.Open;
        made.nodeId = nodeId;
        (made.start, made.stop) = (span.start, span.stop);
        made.requestBlock = uint40(block.number);
        made.deadline = uint40(block.timestamp) + _windowSeconds;
        made.challenger = msg.sender;
        (made.penalty, made.locked) = (uint96(penalty), uint96(locked));
        made.modelId = modelId;
        emit PossessionChallenged(challengeId, nodeId, modelId, msg.sender, span.start, span.stop, made.deadline);
        if (locked != 0) vault.lock(node.operator, locked);
        _token.safeTransferFrom(msg.sender, address(this), _bond);
    }

    /// @inheritdoc IPossession
    function draw(uint256 challengeId) external returns (bytes32 seed) {
        Challenge storage entry = _open(challengeId);
        if (entry.seed != 0) revert SeedAlreadyDrawn(challengeId);
        seed = _seedOf(challengeId, entry);
        entry.seed = seed;
        emit PossessionDrawn(challengeId, seed);
    }

    /// @inheritdoc IPossession
    function prove(uint256 challengeId, Proof calldata proof) external {
        Challenge storage entry = _open(challengeId);
        uint64 nodeId = entry.nodeId;
        INodeRegistry.Node memory node = _ownNode(nodeId);
        if (block.timestamp >= entry.deadline) revert AnswerTooLate(challengeId, entry.deadline, block.timestamp);
        _checkProof(challengeId, entry, _seedOf(challengeId, entry), proof);

        challengeableAt[nodeId][entry.modelId] = block.timestamp + _cooldownSeconds;
        balanceOf[node.operator] += _bond;
        _close(entry, ChallengeState.Proven);
        emit PossessionProven(challengeId, nodeId);
        vault.unlock(node.operator, entry.locked);
    }

    /// @inheritdoc IPossession
    function fail(uint256 challengeId) external {
        Challenge storage entry = _open(challengeId);
        if (block.timestamp < entry.deadline) revert AnswerStillOpen(challengeId, entry.deadline, block.timestamp);
        _seedOf(challengeId, entry); // a node that could not know what to show until the end is not to blame

        uint64 nodeId = entry.nodeId;
        address operator = nodes.operatorOf(nodeId);
        balanceOf[entry.challenger] += _bond;
        _close(entry, ChallengeState.Failed);
        _drop(nodeId, entry.modelId);
        vault.unlock(operator, entry.locked);
        uint256 slashed = vault.slash(operator, entry.penalty);
        (uint256 toChallenger,, uint256 burnt) = PayoutLib.splitSlash(slashed, CHALLENGER_BPS, 0);
        balanceOf[entry.challenger] += toChallenger;
        emit PossessionFailed(challengeId, nodeId, slashed, toChallenger, burnt);
        nodes.jail(nodeId);
        if (burnt != 0) _token.burn(burnt);
    }

    /// @inheritdoc IPossession
    function void(uint256 challengeId) external {
        Challenge storage entry = _open(challengeId);
        if (entry.seed != 0 || !FutureBlock.isExpired(entry.requestBlock)) {
            revert SeedNotExpired(challengeId, entry.requestBlock + 1 + FutureBlock.KEPT, block.number);
        }

        balanceOf[entry.challenger] += _bond;
        _close(entry, ChallengeState.Void);
        emit PossessionVoided(challengeId);
        vault.unlock(nodes.operatorOf(entry.nodeId), entry.locked);
    }

    /// @inheritdoc IPossession
    function withdraw() external returns (uint256 amount) {
        amount = balanceOf[msg.sender];
        if (amount == 0) revert NothingToWithdraw(msg.sender);

        balanceOf[msg.sender] = 0;
        emit Withdrawn(msg.sender, amount);
        _token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IPossession
    function challengeOf(uint256 challengeId) external view returns (Challenge memory) {
        return _challenges[challengeId];
    }

    /// @inheritdoc IPossession
    function possessionTerms() external view returns (Terms memory) {
        return Terms(_windowSeconds, _cooldownSeconds, _bond, _minSlash, _slashBps);
    }

    /// @inheritdoc IPossession
    function pick(bytes32 seed, uint16 start, uint16 stop, uint32 chunkCount)
        public
        pure
        returns (uint32 block_, uint32 chunk)
    {
        // Two halves, so that the block does not say which chunk.
        block_ = start + uint32(uint128(uint256(seed)) % (stop - start));
        chunk = uint32((uint256(seed) >> 128) % chunkCount);
    }

    function _open(uint256 challengeId) private view returns (Challenge storage entry) {
        entry = _challenges[challengeId];
        if (entry.state != ChallengeState.Open) revert WrongChallengeState(challengeId, entry.state);
    }

    function _close(Challenge storage entry, ChallengeState state) private {
        entry.state = state;
        openBonds -= _bond;
        delete openChallenge[entry.nodeId][entry.modelId];
    }

    function _penaltyOf(address operator) private view returns (uint256) {
        IStakeVault.Account memory has = vault.account(operator);
        uint256 share = PayoutLib.bps(has.staked + has.unbonding, _slashBps);
        return Math.min(Math.max(_minSlash, share), type(uint96).max);
    }

    /// @dev The seed, drawn or still to be seen.
    function _seedOf(uint256 challengeId, Challenge storage entry) private view returns (bytes32 seed) {
        seed = entry.seed;
        if (seed != 0) return seed;
        uint256 requestBlock = entry.requestBlock;
        if (!FutureBlock.isReady(requestBlock)) revert SeedNotReady(challengeId, requestBlock + 1, block.number);
        if (FutureBlock.isExpired(requestBlock)) {
            revert SeedExpired(challengeId, requestBlock + 1 + FutureBlock.KEPT, block.number);
        }
        return FutureBlock.seed(requestBlock, challengeId);
    }

    /// @dev First how many chunks the block's file has, then the chunk: so the seed picks among those that there are.
    function _checkProof(uint256 challengeId, Challenge storage entry, bytes32 seed, Proof calldata proof) private view {
        if (proof.chunkCount == 0) revert ChunkCountOutOfRange(proof.chunkCount);
        (bytes32 shardRoot, uint16 blocks) = models.shardsOf(entry.modelId);
        (uint32 block_, uint32 chunk) = pick(seed, entry.start, entry.stop, proof.chunkCount);
        bytes32 value = sha256(abi.encodePacked(proof.chunkCount, proof.chunkRoot));
        bytes32 root = TraceLib.root(value, block_, proof.blockProof);
        if (root != shardRoot || proof.blockProof.length != TraceLib.depth(blocks)) {
            revert BlockProofWrong(challengeId, block_, root, shardRoot);
        }
        root = TraceLib.root(sha256(proof.chunk), chunk, proof.chunkProof);
        if (root != proof.chunkRoot || proof.chunkProof.length != TraceLib.depth(proof.chunkCount)) {
            revert ChunkProofWrong(challengeId, chunk, root, proof.chunkRoot);
        }
    }
}
