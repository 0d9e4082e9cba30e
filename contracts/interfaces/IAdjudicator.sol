// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title Who decides which of two stages computed a block right.
/// @notice The court asks with `judge` and is answered, now or later, by a call of its `rule(disputeId, verdict)`. An answer
/// that does not come in time leaves the majority's word standing, so an adjudicator can delay a dispute but never hold it.
interface IAdjudicator {
    /// @dev Guilty is who computed the block wrong. `Nobody`: it cannot be told; a draw.
    enum Verdict {
        None,
        LoserGuilty,
        WinnerGuilty,
        BothGuilty,
        Nobody
    }

    /// @notice Two replicas that agree on all before `position` and on its borders up to `block`, and differ behind it.
    /// @param loser, winner the outvoted replica and the one it is held against
    /// @param block the block whose output differs: border `block` is equal in both rows, border `block + 1` is not
    /// @param previous `h[position - 1]`, the same in both
    /// @param input digest of the row of activations that goes into the block, the same in both
    /// @param loserOutput, winnerOutput digests of the rows that came out
    struct Question {
        uint256 jobId;
        bytes32 modelId;
        uint8 loser;
        uint8 winner;
        uint32 position;
        uint16 block;
        bytes32 previous;
        bytes32 input;
        bytes32 loserOutput;
        bytes32 winnerOutput;
    }

    /// @notice Takes a question on. By the court. Must not revert for one that is well formed.
    /// @param deadline timestamp before which `rule` must come
    function judge(uint256 disputeId, Question calldata question, uint256 deadline) external;

    /// @notice Seconds that the longest way to an answer takes; the court's deadline is never nearer.
    function windowSeconds() external view returns (uint256);

    /// @notice Whether a verdict against the winner is about the row it stated, which other winners share, and not only about
    /// what this one winner said of it afterwards.
    function blamesRow(uint256 disputeId) external view returns (bool);
}
