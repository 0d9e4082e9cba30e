// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {SignatureLib} from "../libraries/SignatureLib.sol";
import {EpochBook} from "./EpochBook.sol";

/// @title Whether an order may be opened, and who has signed it.
abstract contract EpochOrders is EpochBook {
    uint256 private constant MAX_SEATS = 7; // so that their operators fit one word

    /// @dev The epoch that an order asks for, and what it locks of each operator.
    function _draft(EpochOrder calldata order) internal view returns (Epoch memory made, uint256 lock, uint16 blocks) {
        uint256 seats = order.nodeIds.length;
        if (msg.sender != order.requester) revert NotRequester(msg.sender, order.requester);
        if (seats > MAX_SEATS || seats % 2 == 0) revert TeamSizeWrong(seats, MAX_SEATS);
        if (order.jobs == 0) revert NoJobs();
        (blocks, made.royaltyBps) = _checkOffer(order);
        uint256 price = uint256(order.jobs) * order.pricePerJob;
        uint256 escrow = seats * price;
        if (escrow > type(uint80).max) revert EscrowTooLarge(escrow, type(uint80).max);

        _setTerms(made, order.commitDeadline);
        made.escrow = uint80(escrow);
        made.seats = uint8(seats);
        made.state = State.Committing;
        lock = made.lockMultiple * price;
    }

    function _checkOffer(EpochOrder calldata order) private view returns (uint16, uint16) {
        bytes32 modelId = order.modelId;
        (uint16 blocks, uint32 maxUnits, uint96 pricePerUnit, uint16 royaltyBps, bool retired, bool tolerant) =
            _models.offer(modelId);
        if (blocks == 0) revert UnknownModel(modelId);
        if (retired) revert ModelIsRetired(modelId);
        // Votes are equal hashes, and where honest machines may differ no hash may cost anybody anything.
        if (tolerant) revert ModelIsTolerant(modelId);
        uint32 units = order.unitsPerJob;
        if (units == 0 || units > maxUnits) revert UnitsOutOfRange(units, maxUnits);
        uint256 least = uint256(units) * pricePerUnit;
        if (order.pricePerJob < least) revert PriceTooLow(order.pricePerJob, least);
        return (blocks, royaltyBps);
    }

    function _setTerms(Epoch memory made, uint64 deadline) private view {
        (uint8 paramSet, uint8 lockMultiple, uint32 minWindow, uint32 maxWindow, uint32 revealWindow) = _params.terms();
        uint256 earliest = block.timestamp + minWindow;
        if (deadline < earliest) revert DeadlineTooSoon(deadline, earliest);
        uint256 latest = block.timestamp + maxWindow;
        if (deadline > latest) revert DeadlineTooFar(deadline, latest);
        made.commitDeadline = uint32(deadline);
        made.phaseDeadline = uint32(deadline) + revealWindow;
        made.paramSet = paramSet;
        made.lockMultiple = lockMultiple;
    }

    /// @dev Who may match jobs in the market may here. What is no signature recovers the zero address, which is no orchestrator.
    function _checkOrchestrator(address orchestrator, bytes32 epochId, bytes calldata signature) internal view {
        if (!market.isOrchestrator(orchestrator)) revert UnknownOrchestrator(orchestrator);
        address recovered = SignatureLib.recover(epochId, signature);
        if (recovered != orchestrator) revert BadOrchestratorSignature(recovered, orchestrator);
    }

    /// @dev Each node signed, is Active and has the whole model; no operator sits twice.
    function _checkTeam(EpochOrder calldata order, bytes32 epochId, uint16 blocks, bytes[] calldata signatures)
        internal
        view
        returns (uint32[] memory ids, uint256 operators)
    {
        uint256 seats = order.nodeIds.length;
        if (signatures.length != seats) revert SignatureCountWrong(signatures.length, seats);
        ids = new uint32[](seats);
        for (uint256 i = 0; i < seats; ++i) {
            uint64 nodeId = order.nodeIds[i];
            uint32 operatorId = _checkNode(nodeId, epochId, signatures[i]);
            if (!_shards.covers(nodeId, order.modelId, 0, blocks)) revert ModelNotCovered(nodeId, order.modelId);
            for (uint256 k = 0; k < i; ++k) {
                if (ids[k] == operatorId) revert OperatorServesTwice(operatorId);
            }
            ids[i] = operatorId;
            operators |= uint256(operatorId) << i * 32;
        }
    }

    function _checkNode(uint64 nodeId, bytes32 epochId, bytes calldata signature) private view returns (uint32) {
        address recovered = SignatureLib.recover(epochId, signature);
        (uint64 signerOf, uint32 operatorId, INodeRegistry.NodeStatus status) = _nodes.identify(recovered);
        if (signerOf != nodeId || operatorId == 0) revert BadNodeSignature(nodeId, recovered);
        if (status != INodeRegistry.NodeStatus.Active) revert NodeNotActive(nodeId, status);
        return operatorId;
    }

    /// @dev Who signed the commitment: a node of the seat's operator, in whatever state it is by now.
    function _checkSeat(
        bytes32 epochId,
        uint256 operators,
        uint8 seat,
        bytes32 commitment,
        bytes calldata signature
    ) internal view returns (address signer) {
        signer = SignatureLib.recover(hashCommit(epochId, seat, commitment), signature);
        (, uint32 operatorId,) = _nodes.identify(signer);
        // A shift beyond the word gives 0, which is nobody's id.
        if (operatorId == 0 || uint32(operators >> uint256(seat) * 32) != operatorId) {
            revert NotSeat(epochId, seat, signer);
        }
    }
}
