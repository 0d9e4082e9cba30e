// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {IJobMarket} from "../interfaces/IJobMarket.sol";
import {IOstrakaToken} from "../interfaces/IOstrakaToken.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {PayoutLib} from "../libraries/PayoutLib.sol";
import {JobBook} from "./JobBook.sol";

/// @title Where money moves: balances, fees, shares, slashes. Everything is credited; only `withdraw` sends.
abstract contract Payouts is JobBook, ReentrancyGuard {
    using SafeERC20 for IOstrakaToken;

    uint256 internal constant NO_STAGE = type(uint256).max;

    /// @inheritdoc IJobMarket
    mapping(address account => uint256) public balanceOf;

    /// @inheritdoc IJobMarket
    function withdraw() external nonReentrant returns (uint256 amount) {
        amount = balanceOf[msg.sender];
        if (amount == 0) revert NothingToWithdraw(msg.sender);

        balanceOf[msg.sender] = 0;
        emit Withdrawn(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    function _credit(address account, uint256 amount) internal {
        if (amount != 0) balanceOf[account] += amount;
    }

    function _refund(uint256 jobId, address requester, uint256 amount) internal {
        if (amount == 0) return;
        _credit(requester, amount);
        emit EscrowReturned(jobId, requester, amount);
    }

    /// @dev Fees of one replica's `price`; adds the royalty that the model fixed when it was published.
    function _takeFees(bytes32 modelId, uint256 price)
        internal
        view
        returns (PayoutLib.Fees memory fees, uint256 work, address publisher)
    {
        uint16 royaltyBps;
        (publisher, royaltyBps) = models.royaltyOf(modelId);
        (fees, work) = PayoutLib.takeFees(price, _protocolFeeBps, royaltyBps, _orchestratorFeeBps);
    }

    function _creditFees(uint256 jobId, address publisher, PayoutLib.Fees memory fees) internal {
        _credit(treasury, fees.protocolFee);
        _credit(publisher, fees.royalty);
        _credit(_jobs[jobId].orchestrator, fees.orchestratorFee);
        emit FeesPaid(jobId, fees.protocolFee, fees.royalty, fees.orchestratorFee);
    }

    /// @dev Unlocks all stages but `guilty` and divides `work` among them by their `workBps`.
    /// @return left what rounding left over
    function _payStages(uint256 jobId, uint8 index, Stage[] calldata stages, uint256 work, uint256 guilty)
        internal
        returns (uint256 left)
    {
        uint256 jobLock = _jobLock(_jobs[jobId]);
        uint256 allBps = PayoutLib.ALL_BPS - (guilty == NO_STAGE ? 0 : stages[guilty].workBps);
        left = work;
        for (uint256 i = 0; i < stages.length; ++i) {
            if (i == guilty) continue;
            address operator = _unlock(stages[i].nodeId, jobLock);
            uint256 amount = allBps == 0 ? 0 : work * stages[i].workBps / allBps;
            left -= amount;
            _credit(operator, amount);
            emit OperatorPaid(jobId, index, operator, stages[i].nodeId, amount);
        }
    }

    /// @dev Unlocks the stages from `first` on, unpaid.
    function _unlockStages(uint256 jobId, Stage[] calldata stages, uint256 first) internal {
        uint256 jobLock = _jobLock(_jobs[jobId]);
        for (uint256 i = first; i < stages.length; ++i) _unlock(stages[i].nodeId, jobLock);
    }

    /// @dev Takes the job lock of one stage's operator, and `extraBps` of the stake that it has besides.
    /// @return toRequester at most `requesterCap`
    function _slashStage(
        uint256 jobId,
        uint64 nodeId,
        uint256 extraBps,
        address challenger,
        uint256 challengerBps,
        uint256 requesterCap
    ) internal returns (uint256 toRequester) {
        uint256 jobLock = _jobLock(_jobs[jobId]);
        address operator = _unlock(nodeId, jobLock);
        uint256 slashed = _takeStake(operator, jobLock, extraBps);
        uint256 toChallenger;
        uint256 burnt;
        (toChallenger, toRequester, burnt) = PayoutLib.splitSlash(slashed, challengerBps, requesterCap);
        _credit(challenger, toChallenger);
        _credit(_jobs[jobId].requester, toRequester);
        emit Slashed(jobId, operator, nodeId, slashed, toChallenger, toRequester, burnt);
        if (burnt != 0) token.burn(burnt);
    }

    function _unlock(uint64 nodeId, uint256 jobLock) private returns (address operator) {
        operator = nodes.operatorOf(nodeId);
        vault.unlock(operator, jobLock);
    }

    function _takeStake(address operator, uint256 amount, uint256 extraBps) private returns (uint256) {
        if (extraBps != 0) {
            IStakeVault.Account memory has = vault.account(operator);
            uint256 all = has.staked + has.unbonding;
            if (all > amount) amount += PayoutLib.bps(all - amount, extraBps);
        }
        return vault.slash(operator, amount);
    }
}
