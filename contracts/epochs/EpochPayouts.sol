// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {PayoutLib} from "../libraries/PayoutLib.sol";
import {EpochBook} from "./EpochBook.sol";

/// @title What an epoch's end does to money and stake.
abstract contract EpochPayouts is EpochBook {
    /// @dev What one seat may earn at most: also the most a requester is compensated for it.
    function _seatPrice(EpochOrder calldata order) internal pure returns (uint256) {
        return uint256(order.jobs) * order.pricePerJob;
    }

    function _lockOf(EpochOrder calldata order, Epoch memory entry) internal pure returns (uint256) {
        return entry.lockMultiple * _seatPrice(order);
    }

    /// @dev `price` for each winner, less fees.
    function _payWinners(
        EpochOrder calldata order,
        bytes32 epochId,
        Epoch memory entry,
        uint32[] memory ids,
        uint256 price
    ) internal {
        (uint16 protocolFeeBps, uint16 orchestratorFeeBps) = _params.fees(entry.paramSet);
        (PayoutLib.Fees memory fees, uint256 work) =
            PayoutLib.takeFees(price, protocolFeeBps, entry.royaltyBps, orchestratorFeeBps);
        for (uint256 i = 0; i < ids.length; ++i) _earn(ids[i], work);

        uint256 count = ids.length;
        (address publisher,) = _models.royaltyOf(order.modelId);
        _credit(_treasury, fees.protocolFee * count);
        _credit(publisher, fees.royalty * count);
        _credit(order.orchestrator, fees.orchestratorFee * count);
        emit EpochFeesPaid(epochId, fees.protocolFee * count, fees.royalty * count, fees.orchestratorFee * count);
    }

    /// @dev Takes the locks of all `seats`, which ends them.
    function _punish(
        EpochOrder calldata order,
        bytes32 epochId,
        Epoch memory entry,
        uint8 seats,
        address challenger
    ) internal {
        if (seats == 0) return;
        uint256 lock = _lockOf(order, entry);
        uint256 challengerBps = challenger == address(0) ? 0 : _params.at(entry.paramSet).challengerBps;
        _vault.unlockAll(_idsOf(epochId, seats), lock, false);
        for (uint256 seat = 0; seats >> seat != 0; ++seat) {
            if (_has(seats, seat)) _slash(order, epochId, order.nodeIds[seat], lock, challenger, challengerBps);
        }
    }

    function _slash(
        EpochOrder calldata order,
        bytes32 epochId,
        uint64 nodeId,
        uint256 lock,
        address challenger,
        uint256 challengerBps
    ) private {
        address operator = _nodes.operatorOf(nodeId);
        uint256 slashed = _vault.slash(operator, lock);
        (uint256 toChallenger, uint256 toRequester, uint256 burnt) =
            PayoutLib.splitSlash(slashed, challengerBps, _seatPrice(order));
        _credit(challenger, toChallenger);
        _credit(order.requester, toRequester);
        emit EpochSlashed(epochId, operator, nodeId, slashed, toChallenger, toRequester, burnt);
        if (burnt != 0) _token.burn(burnt);
    }

    /// @dev Short ids of the operators of `seats`.
    function _idsOf(bytes32 epochId, uint8 seats) internal view returns (uint32[] memory ids) {
        ids = new uint32[](_count(seats));
        uint256 operators = _operators[epochId];
        uint256 next;
        for (uint256 seat = 0; seats >> seat != 0; ++seat) {
            if (_has(seats, seat)) ids[next++] = uint32(operators >> seat * 32);
        }
    }
}
