// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IJobs} from "../interfaces/IJobs.sol";
import {ILeaves} from "../interfaces/ILeaves.sol";
import {DotLib} from "../libraries/DotLib.sol";
import {TraceLib} from "../libraries/TraceLib.sol";
import {Cases} from "./Cases.sol";

/// @title See ILeaves.
abstract contract Leaves is Cases, ILeaves {
    struct Weights {
        bytes32 root;
        uint64 afterJob;
    }

    uint8 private constant BOTH = 3;

    /// @inheritdoc ILeaves
    mapping(bytes32 modelId => Weights) public weightsOf;
    /// @inheritdoc ILeaves
    mapping(uint256 disputeId => mapping(Side => bytes32)) public traceOf;

    /// @inheritdoc ILeaves
    function publishWeights(bytes32 modelId, bytes32 root) external {
        (address publisher,) = market.models().royaltyOf(modelId);
        if (msg.sender != publisher) revert NotPublisher(modelId, msg.sender, publisher);
        if (root == 0) revert ZeroRoot();
        if (weightsOf[modelId].root != 0) revert WeightsAlreadyPublished(modelId);

        uint64 afterJob = market.jobCount();
        weightsOf[modelId] = Weights(root, afterJob);
        emit WeightsPublished(modelId, root, afterJob);
    }

    /// @inheritdoc ILeaves
    function postTrace(uint256 disputeId, Side side, bytes32 root, IJobs.Sealed calldata replica) external {
        Case storage entry = _running(disputeId);
        if (root == 0) revert ZeroRoot();
        if (traceOf[disputeId][side] != 0) revert TraceAlreadyPosted(disputeId, side);
        market.checkSeal(entry.jobId, side == Side.Loser ? entry.loser : entry.winner, replica);
        uint64 nodeId = _nodeOf(replica.stages, entry.block);
        // Nobody else, not even the lead of its replica: who posts for a stage can have it punished.
        if (msg.sender != _nodes.signerOf(nodeId) && msg.sender != _nodes.operatorOf(nodeId)) {
            revert NotAccused(msg.sender, nodeId);
        }

        traceOf[disputeId][side] = root;
        entry.posted |= _bit(side);
        emit TracePosted(disputeId, side, nodeId, root);
    }

    /// @inheritdoc ILeaves
    function proveLeaf(uint256 disputeId, Side side, Leaf calldata leaf) external {
        Case storage entry = _running(disputeId);
        bytes32 trace = traceOf[disputeId][side];
        if (trace == 0) revert NoTrace(disputeId, side);
        if (entry.guilty & _bit(side) != 0) revert AlreadyProven(disputeId, side);
        _checkPlaces(entry, trace, leaf);
        int256 right = DotLib.dot(leaf.activations, leaf.weights);
        if (right == leaf.claimed) revert LeafIsRight(leaf.op, leaf.pass, leaf.row, leaf.claimed);

        uint8 guilty = entry.guilty | _bit(side);
        entry.guilty = guilty;
        emit LeafProven(disputeId, side, leaf.op, leaf.pass, leaf.row, leaf.claimed, right);
        uint256 ruleAt = block.timestamp + _rules.proofSeconds;
        if (guilty == BOTH || guilty == entry.posted || ruleAt + _rules.closeSeconds > entry.deadline) {
            _answer(disputeId, entry, _proven(guilty));
            _dismiss(disputeId, entry);
        } else {
            entry.ruleAt = uint40(ruleAt);
        }
    }

    /// @dev Lets the committee go: a proof has made it needless.
    function _dismiss(uint256 disputeId, Case storage entry) internal virtual;

    function _proven(uint8 guilty) internal pure returns (Verdict) {
        if (guilty == BOTH) return Verdict.BothGuilty;
        return guilty == _bit(Side.Loser) ? Verdict.LoserGuilty : Verdict.WinnerGuilty;
    }

    function _checkPlaces(Case storage entry, bytes32 trace, Leaf calldata leaf) private view {
        if (leaf.length == 0 || leaf.length > DotLib.MAX_LENGTH) {
            revert LengthOutOfRange(leaf.length, uint32(DotLib.MAX_LENGTH));
        }
        uint256 size = (uint256(leaf.length) + 31) & ~uint256(31);
        if (leaf.weights.length != size || leaf.activations.length != size) {
            revert LeafSizeWrong(leaf.weights.length, leaf.activations.length, size);
        }
        Weights memory weights = weightsOf[entry.modelId];
        if (weights.root == 0 || entry.jobId <= weights.afterJob) {
            revert NoWeights(entry.modelId, entry.jobId, weights.afterJob);
        }
        bytes32 value = sha256(abi.encodePacked(entry.block, leaf.op, leaf.row, leaf.length, leaf.weights));
        bytes32 root = TraceLib.root(value, leaf.weightIndex, leaf.weightProof);
        if (root != weights.root) revert WeightsMismatch(weights.root, root);

        value = sha256(
            abi.encodePacked(leaf.op, leaf.pass, leaf.row, leaf.length, sha256(leaf.activations), leaf.claimed)
        );
        root = TraceLib.root(value, leaf.claimIndex, leaf.claimProof);
        if (root != trace) revert ClaimMismatch(trace, root);
    }

    /// @dev The stages tile all blocks, so there is one.
    function _nodeOf(IJobs.Stage[] calldata stages, uint16 blockIndex) private pure returns (uint64) {
        uint256 stage;
        while (stages[stage].stop <= blockIndex) ++stage;
        return stages[stage].nodeId;
    }

    function _bit(Side side) private pure returns (uint8) {
        return uint8(1) << uint8(side);
    }
}
