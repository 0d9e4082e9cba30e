// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IJobs} from "../interfaces/IJobs.sol";

/// @dev Everything about a job that commit, reveal and the count of votes work on, in one word: read once and written once, where
/// the compiler would do either for every field. From the lowest bit: orchestratorNumber (16 bits), maxUnits (24), priceGwei (40),
/// deadline (32), phaseDeadline (32), state (8), replicas (8), committed (8), revealed (8), outvoted (8), groups (24), blocks (16),
/// epoch (8), contested (8), lockMultiple (8), round (8).
type JobWord is uint256;

using JobWordLib for JobWord global;

/// @title A job's word. `state` is only ever Open, Agreed or what closed the job; the clock and the bitmaps say the rest. `groups`
/// holds three bits a replica: the first replica that revealed the same result, whose `resultHash` is stored for all of them; while
/// no orchestrator is bound (number 0) it holds the second of submission instead, its lowest 24 bits. `phaseDeadline` ends the
/// reveal phase, and the challenge phase once the job is Agreed.
library JobWordLib {
    uint8 internal constant NO_REPLICA = type(uint8).max;

    // ── fields ──

    function orchestratorNumber(JobWord word) internal pure returns (uint16) {
        return uint16(JobWord.unwrap(word));
    }

    function maxUnits(JobWord word) internal pure returns (uint24) {
        return uint24(JobWord.unwrap(word) >> 16);
    }

    function priceGwei(JobWord word) internal pure returns (uint40) {
        return uint40(JobWord.unwrap(word) >> 40);
    }

    function deadline(JobWord word) internal pure returns (uint32) {
        return uint32(JobWord.unwrap(word) >> 80);
    }

    function phaseDeadline(JobWord word) internal pure returns (uint32) {
        return uint32(JobWord.unwrap(word) >> 112);
    }

    function state(JobWord word) internal pure returns (IJobs.JobState) {
        return IJobs.JobState(uint8(JobWord.unwrap(word) >> 144));
    }

    function replicas(JobWord word) internal pure returns (uint8) {
        return uint8(JobWord.unwrap(word) >> 152);
    }

    function committed(JobWord word) internal pure returns (uint8) {
        return uint8(JobWord.unwrap(word) >> 160);
    }

    function revealed(JobWord word) internal pure returns (uint8) {
        return uint8(JobWord.unwrap(word) >> 168);
    }

    function outvoted(JobWord word) internal pure returns (uint8) {
        return uint8(JobWord.unwrap(word) >> 176);
    }

    function groups(JobWord word) internal pure returns (uint24) {
        return uint24(JobWord.unwrap(word) >> 184);
    }

    function blocks(JobWord word) internal pure returns (uint16) {
        return uint16(JobWord.unwrap(word) >> 208);
    }

    function epoch(JobWord word) internal pure returns (uint8) {
        return uint8(JobWord.unwrap(word) >> 224);
    }

    function contested(JobWord word) internal pure returns (uint8) {
        return uint8(JobWord.unwrap(word) >> 232);
    }

    function lockMultiple(JobWord word) internal pure returns (uint8) {
        return uint8(JobWord.unwrap(word) >> 240);
    }

    function round(JobWord word) internal pure returns (uint8) {
        return uint8(JobWord.unwrap(word) >> 248);
    }

    // ── the word with another value in a field ──

    function withOrchestrator(JobWord word, uint16 number) internal pure returns (JobWord) {
        return _with(word, 0, type(uint16).max, number);
    }

    function withDeadline(JobWord word, uint32 value) internal pure returns (JobWord) {
        return _with(word, 80, type(uint32).max, value);
    }

    function withPhaseDeadline(JobWord word, uint32 value) internal pure returns (JobWord) {
        return _with(word, 112, type(uint32).max, value);
    }

    function withState(JobWord word, IJobs.JobState value) internal pure returns (JobWord) {
        return _with(word, 144, type(uint8).max, uint8(value));
    }

    function withCommitted(JobWord word, uint8 value) internal pure returns (JobWord) {
        return _with(word, 160, type(uint8).max, value);
    }

    function withRevealed(JobWord word, uint8 value) internal pure returns (JobWord) {
        return _with(word, 168, type(uint8).max, value);
    }

    function withOutvoted(JobWord word, uint8 value) internal pure returns (JobWord) {
        return _with(word, 176, type(uint8).max, value);
    }

    function withGroups(JobWord word, uint24 value) internal pure returns (JobWord) {
        return _with(word, 184, type(uint24).max, value);
    }

    function withContested(JobWord word, uint8 value) internal pure returns (JobWord) {
        return _with(word, 232, type(uint8).max, value);
    }

    function withRound(JobWord word, uint8 value) internal pure returns (JobWord) {
        return _with(word, 248, type(uint8).max, value);
    }

    function _with(JobWord word, uint256 offset, uint256 mask, uint256 value) private pure returns (JobWord) {
        return JobWord.wrap(JobWord.unwrap(word) & ~(mask << offset) | value << offset);
    }

    // ── what follows from them ──

    /// @dev The state as the clock has it.
    function stateNow(JobWord word) internal view returns (IJobs.JobState) {
        IJobs.JobState kept = word.state();
        if (kept == IJobs.JobState.Agreed && word.contested() != 0) return IJobs.JobState.Disputed;
        if (kept != IJobs.JobState.Open) return kept;
        if (word.committed() != 0 && word.revealsAreOpen()) return IJobs.JobState.Revealing;
        if (word.round() != 0) return IJobs.JobState.Replacing;
        return word.committed() == 0 ? IJobs.JobState.Open : IJobs.JobState.Committing;
    }

    function revealsAreOpen(JobWord word) internal view returns (bool) {
        return word.committed() == word.all() || block.timestamp >= word.deadline();
    }

    /// @dev Bitmap of all replicas.
    function all(JobWord word) internal pure returns (uint8) {
        return uint8((uint256(1) << word.replicas()) - 1);
    }

    function hasResult(JobWord word) internal pure returns (bool) {
        IJobs.JobState kept = word.state();
        return kept == IJobs.JobState.Agreed || kept == IJobs.JobState.Final || kept == IJobs.JobState.Overturned;
    }

    /// @dev The replica that stands for all with the same result as `index`.
    function groupOf(JobWord word, uint256 index) internal pure returns (uint8) {
        return uint8(word.groups() >> index * 3 & 7);
    }

    /// @dev Who stands for the result that more than half of all replicas revealed, if there is one.
    function majority(JobWord word) internal pure returns (uint8 leader) {
        uint256 open = word.revealed();
        uint256 needed = word.replicas();
        for (; open >> leader != 0; ++leader) {
            if (open >> leader & 1 == 0 || word.groupOf(leader) != leader) continue;
            if (count(word.membersOf(leader)) * 2 > needed) return leader;
        }
        return NO_REPLICA;
    }

    /// @dev Bitmap of the replicas with the result that `leader` stands for.
    function membersOf(JobWord word, uint256 leader) internal pure returns (uint8 members) {
        uint256 open = word.revealed();
        uint256 groups_ = word.groups();
        for (uint256 bit = 1; bit <= open; bit <<= 1) {
            if (open & bit != 0 && groups_ & 7 == leader) members |= uint8(bit);
            groups_ >>= 3;
        }
    }

    function pricePerUnit(JobWord word) internal pure returns (uint256) {
        return uint256(word.priceGwei()) * 1 gwei;
    }

    /// @dev The price of one replica at most: also the most a requester is compensated for it.
    function replicaPriceCap(JobWord word) internal pure returns (uint256) {
        return uint256(word.maxUnits()) * word.pricePerUnit();
    }

    function jobLock(JobWord word) internal pure returns (uint256) {
        return word.lockMultiple() * word.replicaPriceCap();
    }

    /// @dev How many bits are set.
    function count(uint256 bitmap) internal pure returns (uint256 bits) {
        for (; bitmap != 0; bitmap &= bitmap - 1) ++bits;
    }
}
