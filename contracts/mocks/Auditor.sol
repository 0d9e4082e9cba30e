// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IDisputeCourt} from "../interfaces/IDisputeCourt.sol";
import {IJobMarket} from "../interfaces/IJobMarket.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";

/// @title For tests: adds up what the contracts owe, in one call.
contract Auditor {
    /// @notice What the market holds, and what it owes to `accounts` and still keeps for jobs.
    function auditMarket(IJobMarket market, address[] calldata accounts)
        external
        view
        returns (uint256 held, uint256 owed)
    {
        held = market.token().balanceOf(address(market));
        for (uint256 i = 0; i < accounts.length; ++i) owed += market.balanceOf(accounts[i]);
        for (uint256 jobId = 1; jobId <= market.jobCount(); ++jobId) owed += market.job(jobId).escrow;
    }

    /// @notice What the court holds, and what it owes to `accounts` and still keeps as bonds.
    function auditCourt(IDisputeCourt court, address[] calldata accounts)
        external
        view
        returns (uint256 held, uint256 owed)
    {
        held = court.market().token().balanceOf(address(court));
        IJobMarket market = court.market();
        for (uint256 jobId = 1; jobId <= market.jobCount(); ++jobId) {
            uint8 replicas = market.job(jobId).replicas;
            for (uint8 loser = 0; loser < replicas; ++loser) {
                IDisputeCourt.Dispute memory dispute = court.dispute(jobId, loser);
                owed += uint256(dispute.conflictBond) + dispute.contestBond;
            }
        }
        for (uint256 i = 0; i < accounts.length; ++i) owed += court.balanceOf(accounts[i]);
    }

    /// @notice What the vault holds, what it owes to `accounts`, and whether each one's locks fit its stake.
    function auditVault(IStakeVault vault, address[] calldata accounts)
        external
        view
        returns (uint256 held, uint256 owed, bool locksFit)
    {
        held = vault.token().balanceOf(address(vault));
        locksFit = true;
        for (uint256 i = 0; i < accounts.length; ++i) {
            IStakeVault.Account memory account = vault.account(accounts[i]);
            owed += account.staked + account.unbonding;
            if (account.locked > account.staked) locksFit = false;
        }
    }

    /// @notice The sum of `accounts`' tokens.
    function wallets(IJobMarket market, address[] calldata accounts) external view returns (uint256 sum) {
        for (uint256 i = 0; i < accounts.length; ++i) sum += market.token().balanceOf(accounts[i]);
    }
}
