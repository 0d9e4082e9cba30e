// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {JobWord} from "../libraries/JobWordLib.sol";
import {JobBook} from "./JobBook.sol";

/// @title Who is owed what. Everything is credited; only `withdraw` sends.
abstract contract Ledger is JobBook, ReentrancyGuard {
    mapping(address account => uint256) internal _balances;
    /// @dev What operators earned, by their short ids: paying them needs no look into the registers.
    mapping(uint32 operatorId => uint256) internal _earned;

    function _credit(address account, uint256 amount) internal {
        if (amount != 0) _balances[account] += amount;
    }

    function _refund(uint256 jobId, address requester, uint256 amount) internal {
        if (amount == 0) return;
        _credit(requester, amount);
        emit EscrowReturned(jobId, requester, amount);
    }

    /// @dev Returns the whole escrow.
    function _close(uint256 jobId, Job storage entry, JobWord word, JobState state) internal {
        uint256 escrow = entry.escrow;
        entry.escrow = 0;
        entry.word = word.withState(state);
        _refund(jobId, entry.requester, escrow);
    }
}
