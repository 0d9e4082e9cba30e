// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IJobMarket} from "../interfaces/IJobMarket.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {AssignmentLib} from "../libraries/AssignmentLib.sol";
import {JobWord} from "../libraries/JobWordLib.sol";
import {SignatureLib} from "../libraries/SignatureLib.sol";
import {Ledger} from "./Ledger.sol";

/// @title Whose word it takes to bind a route: its orchestrator's, and every node's own.
abstract contract Commits is IJobMarket, Ledger, EIP712 {
    /// @inheritdoc IJobMarket
    function commit(
        uint256 jobId,
        uint8 index,
        Stage[] calldata stages,
        bytes calldata orchestratorSignature,
        bytes[] calldata nodeSignatures,
        bytes32 commitment
    ) external {
        (Job storage entry, JobWord word) = _openJob(jobId);
        if (block.timestamp >= word.deadline()) revert CommitClosed(jobId, word.deadline(), block.timestamp);
        if (index >= word.replicas()) revert UnknownReplica(jobId, index);
        if (_has(word.committed(), index)) revert AlreadyCommitted(jobId, index);
        _checkTiling(word.blocks(), stages);
        bytes32 assignment = AssignmentLib.hashAssignment(jobId, index, stages);
        word = _checkOrchestrator(jobId, word, assignment, orchestratorSignature);
        uint32[] memory ids =
            _checkNodes(entry.modelId, stages, nodeSignatures, assignment, commitment);
        _checkSeats(jobId, word.committed(), ids);

        _replicas[jobId][index].seal = AssignmentLib.seal(AssignmentLib.sealHead(ids[0], ids.length - 1), assignment, commitment);
        _takeSeats(jobId, index, ids);
        entry.word = _withCommit(word, index);
        emit ReplicaCommitted(jobId, index, msg.sender, assignment, commitment);
        vault.lockAll(ids, word.jobLock());
    }

    function _withCommit(JobWord word, uint8 index) private view returns (JobWord) {
        word = word.withCommitted(word.committed() | (uint8(1) << index));
        if (word.committed() != word.all()) return word;
        // Reveals open now; how long they may take is what lay between the two deadlines at submission.
        return word.withPhaseDeadline(uint32(block.timestamp) + word.phaseDeadline() - word.deadline());
    }

    /// @dev Where the job is bound to nobody yet, to whoever signed.
    function _checkOrchestrator(uint256 jobId, JobWord word, bytes32 structHash, bytes calldata signature)
        private
        returns (JobWord)
    {
        address recovered = _recover(structHash, signature);
        uint16 number = word.orchestratorNumber();
        if (number == 0) return _bind(jobId, word, recovered);
        if (_orchestratorOf[recovered].number != number) {
            revert BadOrchestratorSignature(recovered, _orchestrators[number]);
        }
        return word;
    }

    /// @dev Each node is Active and covers its span. The lead says by sending this what the others say by signing the attestation.
    function _checkNodes(
        bytes32 modelId,
        Stage[] calldata stages,
        bytes[] calldata signatures,
        bytes32 assignment,
        bytes32 commitment
    ) private view returns (uint32[] memory ids) {
        uint256 followers = stages.length - 1;
        if (signatures.length != followers) revert SignatureCountWrong(signatures.length, followers);
        ids = new uint32[](stages.length);
        ids[0] = _checkNode(modelId, stages[0], msg.sender);
        if (followers == 0) return ids;
        bytes32 digest = _hashTypedDataV4(AssignmentLib.hashAttestation(assignment, commitment));
        for (uint256 i = 0; i < followers; ++i) {
            ids[i + 1] = _checkNode(modelId, stages[i + 1], SignatureLib.recover(digest, signatures[i]));
        }
    }

    /// @param key whose word for this stage it is, which must be its node's
    function _checkNode(bytes32 modelId, Stage calldata stage, address key) private view returns (uint32 operatorId) {
        (uint64 nodeId, uint16 start, uint16 stop) = (stage.nodeId, stage.start, stage.stop);
        uint64 identified;
        INodeRegistry.NodeStatus status;
        (identified, operatorId, status) = nodes.identify(key);
        if (identified != nodeId || operatorId == 0) {
            if (start == 0) revert NotLead(key, nodes.signerOf(nodeId));
            revert BadNodeSignature(nodeId, key, nodes.signerOf(nodeId));
        }
        if (status != INodeRegistry.NodeStatus.Active) revert NodeNotActive(nodeId, status);
        if (!shards.covers(nodeId, modelId, start, stop)) revert SpanNotCovered(nodeId, start, stop);
    }

    /// @dev None of the operators serves a replica that has committed already.
    function _checkSeats(uint256 jobId, uint8 committed, uint32[] memory ids) private view {
        for (uint8 index = 0; committed >> index != 0; ++index) {
            if (!_has(committed, index)) continue;
            uint40 head = AssignmentLib.headOf(_replicas[jobId][index].seal);
            _checkSeat(jobId, ids, uint32(head >> 8));
            uint256 followers = uint8(head);
            for (uint256 first = 0; first < followers; first += SEATS_PER_WORD) {
                uint256 word = _seats[jobId][index][first / SEATS_PER_WORD];
                for (; word != 0; word >>= 32) _checkSeat(jobId, ids, uint32(word));
            }
        }
    }

    function _checkSeat(uint256 jobId, uint32[] memory ids, uint32 taken) private pure {
        for (uint256 i = 0; i < ids.length; ++i) {
            if (ids[i] == taken) revert OperatorServesTwice(jobId, taken);
        }
    }

    function _takeSeats(uint256 jobId, uint8 index, uint32[] memory ids) private {
        for (uint256 first = 1; first < ids.length; first += SEATS_PER_WORD) {
            uint256 word;
            for (uint256 i = first; i < ids.length && i < first + SEATS_PER_WORD; ++i) {
                word |= uint256(ids[i]) << (i - first) * 32;
            }
            _seats[jobId][index][(first - 1) / SEATS_PER_WORD] = word;
        }
    }

    /// @dev The zero address where the bytes are no signature; no orchestrator or signer is the zero address.
    function _recover(bytes32 structHash, bytes calldata signature) internal view returns (address) {
        return SignatureLib.recover(_hashTypedDataV4(structHash), signature);
    }
}
