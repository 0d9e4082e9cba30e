// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {JobWord} from "../libraries/JobWordLib.sol";
import {PayoutLib} from "../libraries/PayoutLib.sol";
import {Ledger} from "./Ledger.sol";

/// @title Fees, shares and slashes.
abstract contract Payouts is Ledger {
    uint256 internal constant NO_STAGE = type(uint256).max;

    /// @dev Fees of one replica's `price`, by the set of parameters and the royalty that the job was submitted under.
    function _takeFees(Job storage entry, JobWord word, uint256 price)
        internal
        view
        returns (PayoutLib.Fees memory fees, uint256 work)
    {
        (uint16 protocolFeeBps, uint16 orchestratorFeeBps) = params.fees(word.epoch());
        return PayoutLib.takeFees(price, protocolFeeBps, entry.royaltyBps, orchestratorFeeBps);
    }

    function _creditFees(uint256 jobId, Job storage entry, JobWord word, PayoutLib.Fees memory fees) private {
        (address publisher,) = models.royaltyOf(entry.modelId);
        _credit(treasury, fees.protocolFee);
        _credit(publisher, fees.royalty);
        _credit(_orchestrators[word.orchestratorNumber()], fees.orchestratorFee);
        emit FeesPaid(jobId, fees.protocolFee, fees.royalty, fees.orchestratorFee);
    }

    /// @dev Operator ids of a replica's stages, in their order.
    function _seatsOf(uint256 jobId, uint8 index, uint32 lead, uint256 count)
        internal
        view
        returns (uint32[] memory ids)
    {
        ids = new uint32[](count);
        ids[0] = lead;
        uint256 word;
        for (uint256 i = 1; i < count; ++i) {
            uint256 lane = (i - 1) % SEATS_PER_WORD;
            if (lane == 0) word = _seats[jobId][index][(i - 1) / SEATS_PER_WORD];
            ids[i] = uint32(word >> lane * 32);
        }
    }

    /// @dev Divides `work` among all stages but `guilty` by their `workBps`.
    /// @return left what rounding left over
    function _payStages(
        uint256 jobId,
        uint8 index,
        Stage[] calldata stages,
        uint32[] memory ids,
        uint256 work,
        uint256 guilty
    ) internal returns (uint256 left) {
        uint256 allBps = PayoutLib.ALL_BPS - (guilty == NO_STAGE ? 0 : stages[guilty].workBps);
        left = work;
        for (uint256 i = 0; i < stages.length; ++i) {
            if (i == guilty) continue;
            Stage calldata stage = stages[i];
            uint32 operatorId = ids[i];
            uint256 amount = PayoutLib.stageShare(work, stage.workBps, allBps);
            left -= amount;
            if (amount != 0) _earned[operatorId] += amount;
            emit OperatorPaid(jobId, index, operatorId, stage.nodeId, amount);
        }
    }

    /// @dev Fees of `count` replicas at once, and whatever rounding left over of their work.
    function _payFees(
        uint256 jobId,
        Job storage entry,
        JobWord word,
        PayoutLib.Fees memory fees,
        uint256 count,
        uint256 left
    ) internal {
        (fees.royalty, fees.orchestratorFee) = (fees.royalty * count, fees.orchestratorFee * count);
        fees.protocolFee = fees.protocolFee * count + left;
        _creditFees(jobId, entry, word, fees);
    }

    /// @dev Takes the job lock of one stage's operator, and `extraBps` of the stake that it has besides. Ends no lock.
    /// @return toRequester at most `requesterCap`
    function _slash(
        uint256 jobId,
        uint64 nodeId,
        uint256 amount,
        uint256 extraBps,
        address challenger,
        uint256 challengerBps,
        uint256 requesterCap
    ) internal returns (uint256 toRequester) {
        address operator = nodes.operatorOf(nodeId);
        uint256 slashed = _takeStake(operator, amount, extraBps);
        uint256 toChallenger;
        uint256 burnt;
        (toChallenger, toRequester, burnt) = PayoutLib.splitSlash(slashed, challengerBps, requesterCap);
        _credit(challenger, toChallenger);
        _credit(_jobs[jobId].requester, toRequester);
        emit Slashed(jobId, operator, nodeId, slashed, toChallenger, toRequester, burnt);
        if (burnt != 0) token.burn(burnt);
    }

    function _takeStake(address operator, uint256 amount, uint256 extraBps) private returns (uint256) {
        if (extraBps != 0) {
            IStakeVault.Account memory has = vault.account(operator);
            amount = PayoutLib.fraudSlash(has.staked + has.unbonding, amount, extraBps);
        }
        return vault.slash(operator, amount);
    }
}
