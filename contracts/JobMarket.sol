// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IJobMarket} from "./interfaces/IJobMarket.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {IOstrakaToken} from "./interfaces/IOstrakaToken.sol";
import {IShardRegistry} from "./interfaces/IShardRegistry.sol";
import {AssignmentLib} from "./libraries/AssignmentLib.sol";
import {PayoutLib} from "./libraries/PayoutLib.sol";
import {SeatLib} from "./libraries/SeatLib.sol";
import {TraceLib} from "./libraries/TraceLib.sol";
import {Disputes} from "./market/Disputes.sol";
import {JobBook} from "./market/JobBook.sol";

/// @title See IJobMarket. This file: a job from submission to the count of votes.
contract JobMarket is Disputes, EIP712, Ownable2Step {
    using SafeERC20 for IOstrakaToken;
    using SeatLib for mapping(uint256 => uint256);

    mapping(uint256 jobId => mapping(uint256 index => uint256)) private _seats;

    constructor(IShardRegistry shards_, address treasury_, MarketParams memory params_)
        JobBook(shards_, treasury_, params_)
        EIP712("Ostraka", "1")
        Ownable(msg.sender)
    {}

    /// @inheritdoc IJobMarket
    function setOrchestrator(address orchestrator, bool allowed) external onlyOwner {
        if (orchestrator == address(0)) revert ZeroAddress();

        isOrchestrator[orchestrator] = allowed;
        emit OrchestratorChanged(orchestrator, allowed);
    }

    /// @inheritdoc IJobMarket
    function submit(SubmitRequest calldata request) external nonReentrant returns (uint256 jobId) {
        IModelRegistry.Model memory model = models.model(request.modelId);
        _checkRequest(request, model);

        jobId = ++jobCount;
        Job storage entry = _jobs[jobId];
        entry.requester = msg.sender;
        entry.maxUnits = request.maxUnits;
        entry.state = JobState.Open;
        entry.orchestrator = request.orchestrator;
        entry.deadline = uint40(request.deadline);
        entry.phaseDeadline = uint40(request.deadline + _revealWindowSeconds);
        entry.blocks = model.blocks;
        entry.pricePerUnit = model.pricePerUnit;
        entry.escrow = request.priceCap;
        entry.replicas = request.replicas;
        entry.modelId = request.modelId;
        emit JobSubmitted(
            jobId,
            msg.sender,
            request.modelId,
            request.orchestrator,
            request.inputDigest,
            request.replicas,
            request.maxUnits,
            request.priceCap,
            request.deadline
        );
        token.safeTransferFrom(msg.sender, address(this), request.priceCap);
    }

    /// @inheritdoc IJobMarket
    function cancel(uint256 jobId) external {
        Job storage entry = _openJob(jobId);
        if (msg.sender != entry.requester) revert NotRequester(jobId, msg.sender, entry.requester);
        if (entry.committed != 0) revert WrongState(jobId, _stateOf(entry));

        emit JobCancelled(jobId);
        _close(jobId, entry, JobState.Cancelled);
    }

    /// @inheritdoc IJobMarket
    function expire(uint256 jobId) external {
        Job storage entry = _openJob(jobId);
        if (entry.committed != 0) revert WrongState(jobId, _stateOf(entry));
        if (block.timestamp < entry.deadline) revert CommitStillOpen(jobId, entry.deadline, block.timestamp);

        emit JobFailed(jobId, entry.escrow);
        _close(jobId, entry, JobState.Failed);
    }

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
        bytes32 assignment = _checkAssignment(jobId, index, entry, stages, orchestratorSignature);
        address[] memory operators =
            _checkNodes(entry.modelId, stages, nodeSignatures, AssignmentLib.hashAttestation(assignment, commitment));

        _record(jobId, index, entry, assignment, commitment);
        _lockAndSeat(jobId, operators, _jobLock(entry));
    }

    /// @inheritdoc IJobMarket
    function reveal(
        uint256 jobId,
        uint8 index,
        uint32 units,
        bytes32 outputDigest,
        bytes32 traceRoot,
        bytes32 salt
    ) external {
        Job storage entry = _openJob(jobId);
        if (!_has(entry.committed, index)) revert NotCommitted(jobId, index);
        if (_has(entry.revealed, index)) revert AlreadyRevealed(jobId, index);
        if (!_revealsAreOpen(entry)) revert RevealNotOpen(jobId, entry.deadline, block.timestamp);
        if (block.timestamp >= entry.phaseDeadline) revert RevealClosed(jobId, entry.phaseDeadline, block.timestamp);
        if (units == 0 || units > entry.maxUnits) revert UnitsOutOfRange(units, entry.maxUnits);
        bytes32 resultHash = TraceLib.resultHash(units, outputDigest, traceRoot);
        bytes32 opened = AssignmentLib.hashCommitment(jobId, index, msg.sender, resultHash, traceRoot, salt);
        Replica storage chosen = _replicas[jobId][index];
        if (opened != chosen.commitment) revert CommitmentMismatch(chosen.commitment, opened);

        chosen.resultHash = resultHash;
        entry.revealed |= uint8(1) << index;
        _vote(jobId, entry, index, units, resultHash);
        emit ReplicaRevealed(jobId, index, units, outputDigest, traceRoot, resultHash);
    }

    /// @inheritdoc IJobMarket
    function finalize(uint256 jobId, Stage[][] calldata stagesByReplica) external nonReentrant {
        Job storage entry = _openJob(jobId);
        if (entry.committed == 0) revert NothingCommitted(jobId);
        if (stagesByReplica.length != entry.replicas) revert ReplicaCountWrong(stagesByReplica.length, entry.replicas);
        bool hopeless = block.timestamp >= entry.deadline && _count(entry.committed) * 2 <= entry.replicas;
        bool allRevealed = _revealsAreOpen(entry) && entry.revealed == entry.committed;
        if (!hopeless && !allRevealed && block.timestamp < entry.phaseDeadline) {
            revert RevealStillOpen(jobId, entry.phaseDeadline, block.timestamp);
        }
        for (uint8 i = 0; i < stagesByReplica.length; ++i) _checkStages(jobId, i, stagesByReplica[i]);

        uint8 winners = _winners(jobId, entry);
        if (_count(winners) * 2 > entry.replicas) _settle(jobId, entry, stagesByReplica, winners);
        else _fail(jobId, entry, stagesByReplica, hopeless);
    }

    function _record(uint256 jobId, uint8 index, Job storage entry, bytes32 assignment, bytes32 commitment) private {
        Replica storage chosen = _replicas[jobId][index];
        chosen.assignmentHash = assignment;
        chosen.commitment = commitment;
        uint8 committed = entry.committed | (uint8(1) << index);
        entry.committed = committed;
        if (committed == _allOf(entry.replicas)) {
            entry.phaseDeadline = uint40(block.timestamp) + _revealWindowSeconds;
        }
        emit ReplicaCommitted(jobId, index, msg.sender, assignment, commitment);
    }

    /// @dev Pays the winners. Outvoted replicas keep their locks, and a replica's price stays in escrow for each.
    function _settle(uint256 jobId, Job storage entry, Stage[][] calldata stagesByReplica, uint8 winners) private {
        uint8 outvoted = entry.revealed & ~winners;
        uint256 price = uint256(entry.units) * entry.pricePerUnit;
        uint256 reserve = price * _count(outvoted);
        uint256 refund = entry.escrow - price * _count(winners) - reserve;

        entry.outvoted = outvoted;
        entry.escrow = uint128(reserve);
        entry.state = outvoted == 0 ? JobState.Final : JobState.Agreed;
        if (outvoted != 0) entry.phaseDeadline = uint40(block.timestamp) + _challengeWindowSeconds;
        emit JobAgreed(jobId, _replicas[jobId][entry.candidate].resultHash, winners, outvoted);
        _refund(jobId, entry.requester, refund);
        _payWinners(jobId, entry.modelId, stagesByReplica, winners, price);
        _punishWithheld(jobId, entry, stagesByReplica);
        if (outvoted == 0) emit JobFinalized(jobId);
    }

    function _payWinners(
        uint256 jobId,
        bytes32 modelId,
        Stage[][] calldata stagesByReplica,
        uint8 winners,
        uint256 price
    ) private {
        (PayoutLib.Fees memory fees, uint256 work, address publisher) = _takeFees(modelId, price);
        uint256 count = _count(winners);
        (fees.protocolFee, fees.royalty, fees.orchestratorFee) =
            (fees.protocolFee * count, fees.royalty * count, fees.orchestratorFee * count);
        for (uint8 i = 0; i < stagesByReplica.length; ++i) {
            if (_has(winners, i)) fees.protocolFee += _payStages(jobId, i, stagesByReplica[i], work, NO_STAGE);
        }
        _creditFees(jobId, publisher, fees);
    }

    /// @dev No majority: nobody is paid and nobody outvoted. Where too few committed, no reveal was owed.
    function _fail(uint256 jobId, Job storage entry, Stage[][] calldata stagesByReplica, bool hopeless) private {
        emit JobFailed(jobId, entry.escrow);
        _close(jobId, entry, JobState.Failed);
        for (uint8 i = 0; i < stagesByReplica.length; ++i) {
            if (hopeless || _has(entry.revealed, i)) _unlockStages(jobId, stagesByReplica[i], 0);
        }
        if (!hopeless) _punishWithheld(jobId, entry, stagesByReplica);
    }

    /// @dev Who committed and did not reveal: only the lead could have, so it alone pays; the others are unlocked.
    function _punishWithheld(uint256 jobId, Job storage entry, Stage[][] calldata stagesByReplica) private {
        uint8 withheld = entry.committed & ~entry.revealed;
        for (uint8 i = 0; i < stagesByReplica.length; ++i) {
            if (!_has(withheld, i)) continue;
            Stage[] calldata stages = stagesByReplica[i];
            _unlockStages(jobId, stages, 1);
            _slashStage(jobId, stages[0].nodeId, 0, address(0), 0, _replicaPriceCap(entry));
        }
    }

    /// @dev Returns the whole escrow.
    function _close(uint256 jobId, Job storage entry, JobState state) private {
        uint256 escrow = entry.escrow;
        entry.escrow = 0;
        entry.state = state;
        _refund(jobId, entry.requester, escrow);
    }

    function _vote(uint256 jobId, Job storage entry, uint8 index, uint32 units, bytes32 resultHash) private {
        if (entry.margin == 0) {
            (entry.candidate, entry.units, entry.margin) = (index, units, 1);
        } else if (_replicas[jobId][entry.candidate].resultHash == resultHash) {
            ++entry.margin;
        } else {
            --entry.margin;
        }
    }

    /// @dev Bitmap of the replicas that revealed the candidate's result.
    function _winners(uint256 jobId, Job storage entry) private view returns (uint8 winners) {
        for (uint8 i = 0; i < entry.replicas; ++i) {
            if (_agrees(jobId, entry, i)) winners |= uint8(1) << i;
        }
    }

    /// @dev The vault answers a lock with the operator's short id, so seats can only be checked behind it.
    function _lockAndSeat(uint256 jobId, address[] memory operators, uint256 jobLock) private {
        uint32[] memory ids = new uint32[](operators.length);
        for (uint256 i = 0; i < operators.length; ++i) ids[i] = vault.lock(operators[i], jobLock);
        uint256 taken = _seats[jobId].take(ids);
        if (taken != ids.length) revert OperatorServesTwice(jobId, operators[taken]);
    }

    function _checkRequest(SubmitRequest calldata request, IModelRegistry.Model memory model) private view {
        if (model.publisher == address(0)) revert UnknownModel(request.modelId);
        if (model.retired) revert ModelIsRetired(request.modelId);
        if (request.replicas == 0 || request.replicas > MAX_REPLICAS) {
            revert ReplicasOutOfRange(request.replicas, MAX_REPLICAS);
        }
        if (request.maxUnits == 0 || request.maxUnits > model.maxUnits) {
            revert UnitsOutOfRange(request.maxUnits, model.maxUnits);
        }
        uint256 price = uint256(request.replicas) * request.maxUnits * model.pricePerUnit;
        if (request.priceCap < price) revert PriceCapTooLow(request.priceCap, price);
        if (!isOrchestrator[request.orchestrator]) revert UnknownOrchestrator(request.orchestrator);
        uint256 earliest = block.timestamp + _minWindowSeconds;
        if (request.deadline < earliest) revert DeadlineTooSoon(request.deadline, earliest);
        uint256 latest = block.timestamp + _maxWindowSeconds;
        if (request.deadline > latest) revert DeadlineTooFar(request.deadline, latest);
    }

    /// @dev The stages tile the model, and the job's orchestrator signed them.
    function _checkAssignment(
        uint256 jobId,
        uint8 index,
        Job storage entry,
        Stage[] calldata stages,
        bytes calldata orchestratorSignature
    ) private view returns (bytes32 assignment) {
        _checkTiling(entry.blocks, stages);
        assignment = AssignmentLib.hashAssignment(jobId, index, stages);
        address recovered = _recover(assignment, orchestratorSignature);
        if (recovered != entry.orchestrator) revert BadOrchestratorSignature(recovered, entry.orchestrator);
    }

    function _checkTiling(uint16 blocks, Stage[] calldata stages) private pure {
        if (stages.length == 0 || stages.length > MAX_STAGES) revert StageCountOutOfRange(stages.length, MAX_STAGES);
        uint16 next;
        uint256 workBps;
        for (uint256 i = 0; i < stages.length; ++i) {
            Stage calldata stage = stages[i];
            if (stage.start != next) revert StageGap(i, stage.start, next);
            if (stage.stop <= stage.start) revert StageEmpty(i, stage.start, stage.stop);
            next = stage.stop;
            workBps += stage.workBps;
        }
        if (next != blocks) revert StagesEndWrong(next, blocks);
        if (workBps != PayoutLib.ALL_BPS) revert WorkSumWrong(workBps, PayoutLib.ALL_BPS);
    }

    /// @dev Each node is Active, covers its span, and signed the attestation; the caller is the lead.
    function _checkNodes(
        bytes32 modelId,
        Stage[] calldata stages,
        bytes[] calldata signatures,
        bytes32 attestation
    ) private view returns (address[] memory operators) {
        if (signatures.length != stages.length) revert SignatureCountWrong(signatures.length, stages.length);
        operators = new address[](stages.length);
        for (uint256 i = 0; i < stages.length; ++i) {
            Stage calldata stage = stages[i];
            INodeRegistry.Node memory node = nodes.node(stage.nodeId);
            if (i == 0 && msg.sender != node.signer) revert NotLead(msg.sender, node.signer);
            if (node.status != INodeRegistry.NodeStatus.Active) revert NodeNotActive(stage.nodeId, node.status);
            if (!shards.covers(stage.nodeId, modelId, stage.start, stage.stop)) {
                revert SpanNotCovered(stage.nodeId, stage.start, stage.stop);
            }
            address recovered = _recover(attestation, signatures[i]);
            if (recovered != node.signer) revert BadNodeSignature(stage.nodeId, recovered, node.signer);
            operators[i] = node.operator;
        }
    }

    /// @dev The zero address where the bytes are no signature; no orchestrator or signer is the zero address.
    function _recover(bytes32 structHash, bytes calldata signature) private view returns (address signer) {
        (signer,,) = ECDSA.tryRecover(_hashTypedDataV4(structHash), signature);
    }
}
