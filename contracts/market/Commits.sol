// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IJobMarket} from "../interfaces/IJobMarket.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {AssignmentLib} from "../libraries/AssignmentLib.sol";
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
        Job storage entry = _openJob(jobId);
        if (block.timestamp >= entry.deadline) revert CommitClosed(jobId, entry.deadline, block.timestamp);
        if (index >= entry.replicas) revert UnknownReplica(jobId, index);
        if (_has(entry.committed, index)) revert AlreadyCommitted(jobId, index);
        _checkTiling(entry.blocks, stages);
        bytes32 assignment = AssignmentLib.hashAssignment(jobId, index, stages);
        _checkOrchestrator(jobId, entry, assignment, orchestratorSignature);
        uint32[] memory ids =
            _checkNodes(entry.modelId, stages, nodeSignatures, AssignmentLib.hashAttestation(assignment, commitment));
        _checkSeats(jobId, entry, ids);

        _replicas[jobId][index].seal = AssignmentLib.seal(AssignmentLib.sealHead(ids[0], ids.length - 1), assignment, commitment);
        _takeSeats(jobId, index, ids);
        _countCommit(entry, index);
        emit ReplicaCommitted(jobId, index, msg.sender, assignment, commitment);
        vault.lockAll(ids, _jobLock(entry));
    }

    function _countCommit(Job storage entry, uint8 index) private {
        uint8 committed = entry.committed | (uint8(1) << index);
        entry.committed = committed;
        if (committed == _allOf(entry.replicas)) {
            // Reveals open now; how long they may take is what lay between the two deadlines at submission.
            entry.phaseDeadline = uint32(block.timestamp) + entry.phaseDeadline - entry.deadline;
        }
    }

    /// @dev Where the job is bound to nobody yet, to whoever signed.
    function _checkOrchestrator(uint256 jobId, Job storage entry, bytes32 structHash, bytes calldata signature) private {
        address recovered = _recover(structHash, signature);
        uint16 number = entry.orchestratorNumber;
        if (number == 0) return _bind(jobId, entry, recovered);
        if (_orchestratorOf[recovered].number != number) {
            revert BadOrchestratorSignature(recovered, _orchestrators[number]);
        }
    }

    /// @dev Each node signed the attestation, is Active and covers its span; the caller is the lead.
    function _checkNodes(
        bytes32 modelId,
        Stage[] calldata stages,
        bytes[] calldata signatures,
        bytes32 attestation
    ) private view returns (uint32[] memory ids) {
        if (signatures.length != stages.length) revert SignatureCountWrong(signatures.length, stages.length);
        ids = new uint32[](stages.length);
        bytes32 digest = _hashTypedDataV4(attestation);
        for (uint256 i = 0; i < stages.length; ++i) {
            ids[i] = _checkNode(modelId, stages[i], i == 0, digest, signatures[i]);
        }
    }

    function _checkNode(bytes32 modelId, Stage calldata stage, bool leads, bytes32 digest, bytes calldata signature)
        private
        view
        returns (uint32 operatorId)
    {
        (uint64 nodeId, uint16 start, uint16 stop) = (stage.nodeId, stage.start, stage.stop);
        address recovered;
        INodeRegistry.NodeStatus status;
        (recovered, operatorId, status) = _identify(nodeId, digest, signature);
        if (leads && msg.sender != recovered) revert NotLead(msg.sender, recovered);
        if (status != INodeRegistry.NodeStatus.Active) revert NodeNotActive(nodeId, status);
        if (!shards.covers(nodeId, modelId, start, stop)) revert SpanNotCovered(nodeId, start, stop);
    }

    /// @dev Who signed `digest`, which must be this node's key.
    function _identify(uint64 nodeId, bytes32 digest, bytes calldata signature)
        internal
        view
        returns (address recovered, uint32 operatorId, INodeRegistry.NodeStatus status)
    {
        (recovered,,) = ECDSA.tryRecover(digest, signature);
        uint64 signerOf;
        (signerOf, operatorId, status) = nodes.identify(recovered);
        if (signerOf != nodeId || operatorId == 0) revert BadNodeSignature(nodeId, recovered, nodes.signerOf(nodeId));
    }

    /// @dev None of the operators serves a replica that has committed already.
    function _checkSeats(uint256 jobId, Job storage entry, uint32[] memory ids) private view {
        uint8 committed = entry.committed;
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
    function _recover(bytes32 structHash, bytes calldata signature) internal view returns (address signer) {
        (signer,,) = ECDSA.tryRecover(_hashTypedDataV4(structHash), signature);
    }
}
