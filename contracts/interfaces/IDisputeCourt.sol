// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IAdjudicator} from "./IAdjudicator.sol";
import {IJobMarket} from "./IJobMarket.sol";
import {IJobs} from "./IJobs.sol";

/// @title DisputeCourt: which stage is to blame where replicas disagree.
/// @notice One dispute an outvoted replica (the loser). It goes `None → Pinpointed → Settled` where both traces are at hand. Who
/// lacks one opens a conflict with a bond: `Opened` while the challenger's clock runs, `Responding` while the winners' does.
/// A pinpoint blames the loser, because the majority has the other result; who knows better contests it with a bond, and an
/// adjudicator is asked. Windows are half-open. The court holds exactly the sum of open bonds and of all balances.
interface IDisputeCourt {
    enum DisputeState {
        None,
        Opened,
        Responding,
        Pinpointed,
        Adjudicating,
        Resolved,
        Settled
    }

    /// @notice Shows where an outvoted replica first differs from the agreed trace: docs/protocol.md §7.
    /// @dev Where both trace roots are equal, everything from `position` on is ignored.
    /// @param loser the outvoted replica
    /// @param winner any replica that revealed the agreed result
    /// @param previous `h[position - 1]`, the same in both traces
    /// @param loserDigests the loser's digests of all `blocks + 1` borders at `position`
    /// @param loserProof Merkle siblings of the loser's `h[position]`, from the leaf up
    struct PinpointProof {
        uint256 jobId;
        uint8 loser;
        uint8 winner;
        IJobs.Result loserResult;
        IJobs.Result winnerResult;
        uint32 position;
        bytes32 previous;
        bytes32[] loserDigests;
        bytes32[] winnerDigests;
        bytes32[] loserProof;
        bytes32[] winnerProof;
    }

    /// @notice A stage's word for what it did: docs/protocol.md §5 and §6.
    struct Receipt {
        uint256 jobId;
        uint8 replica;
        uint8 stage;
        uint64 nodeId;
        uint16 start;
        uint16 stop;
        uint32 units;
        bytes32 input;
        bytes32 output;
    }

    /// @param deadline timestamp at which the clock that runs is out; from which `conclude` works, where Pinpointed
    /// @param winner the replica that the loser is held against
    /// @param block the first block whose output differs; 0 also where the lead is to blame
    /// @param withheld bitmap of the winners that let their clock run out
    /// @param challengerSeconds, respondentSeconds what was left to each side of a conflict when the other's clock began to run; 0 unless
    /// Opened or Responding
    /// @param conflictBond, contestBond what the challenger and the contester have staked on it and not got back or lost yet
    /// @param position which row the challenger asked for
    struct Dispute {
        address challenger;
        uint40 deadline;
        DisputeState state;
        IAdjudicator.Verdict verdict;
        uint8 winner;
        uint8 withheld;
        uint16 block;
        address contester;
        uint32 challengerSeconds;
        uint32 respondentSeconds;
        uint32 position;
        uint128 conflictBond;
        uint128 contestBond;
    }

    event ConflictOpened(
        uint256 indexed jobId, uint8 indexed replica, address indexed challenger, uint8 winner, uint256 bond
    );
    event RowAsked(uint256 indexed jobId, uint8 indexed replica, uint32 position, uint256 respondBefore);
    /// @notice The digests stand in the transaction's input.
    event RowShown(uint256 indexed jobId, uint8 indexed replica, uint32 position, uint256 askBefore);
    event TraceWithheld(uint256 indexed jobId, uint8 indexed replica, uint8 winner);
    event ConflictAbandoned(uint256 indexed jobId, uint8 indexed replica, address challenger);
    /// @param position the first position that differs
    /// @param block the first block whose output differs; the lead's first block where the lead is to blame
    event StagePinpointed(
        uint256 indexed jobId,
        uint8 indexed replica,
        address indexed challenger,
        uint8 winner,
        uint32 position,
        uint16 block,
        uint256 contestBefore
    );
    event PinpointContested(uint256 indexed jobId, uint8 indexed replica, address indexed contester, uint256 bond);
    event DisputeResolved(uint256 indexed jobId, uint8 indexed replica, IAdjudicator.Verdict verdict);
    event DisputeSettled(uint256 indexed jobId, uint8 indexed replica, IAdjudicator.Verdict verdict);
    event ReplicaForfeited(uint256 indexed jobId, uint8 indexed replica);
    event WinnerPunished(uint256 indexed jobId, uint8 indexed replica, uint8 winner, uint64 nodeId);
    event Equivocated(uint256 indexed jobId, uint64 indexed nodeId, address indexed challenger);
    event BondWithdrawn(address indexed account, uint256 amount);

    error UnknownJob(uint256 jobId);
    error WrongJobState(uint256 jobId, IJobs.JobState state);
    error NotOutvoted(uint256 jobId, uint8 replica);
    error NotWinner(uint256 jobId, uint8 replica);
    error WrongDisputeState(uint256 jobId, uint8 replica, DisputeState state);
    error ChallengeClosed(uint256 jobId, uint256 deadline, uint256 nowAt);
    error ChallengeStillOpen(uint256 jobId, uint256 deadline, uint256 nowAt);
    error ClockRanOut(uint256 jobId, uint8 replica, uint256 deadline, uint256 nowAt);
    error ClockStillRuns(uint256 jobId, uint8 replica, uint256 deadline, uint256 nowAt);
    error AlreadyWithheld(uint256 jobId, uint8 winner);
    error NotChallenger(address caller, address challenger);
    error NotAdjudicator(address caller, address adjudicator);
    error NoAdjudicator();
    error NoVerdict();
    error ResultMismatch(uint8 replica, bytes32 revealed, bytes32 given);
    error PositionOutOfRange(uint32 position, uint32 units);
    error RowLengthWrong(uint8 replica, uint256 digests, uint256 expected);
    error ProofLengthWrong(uint8 replica, uint256 siblings, uint256 expected);
    error TraceRootMismatch(uint8 replica, bytes32 revealed, bytes32 given);
    error NoDifference(uint32 position);
    error NothingToJudge(uint256 jobId, uint8 replica);
    error WinnerNotGuilty(uint256 jobId, uint8 replica);
    error AlreadyPunished(bytes32 offence);
    error SameReceipt(bytes32 output);
    error BadReceiptSignature(uint64 nodeId, address recovered);
    error NothingToWithdraw(address account);

    /// @notice Shows which block of an outvoted replica differs first. By anyone: before the challenge deadline, or while a
    /// conflict is open. A conflict's bond returns to its challenger.
    function pinpoint(PinpointProof calldata proof) external;

    /// @notice Opens a conflict about an outvoted replica, for want of a trace; takes `bondOf(jobId)` of the caller's tokens. By
    /// anyone, before the challenge deadline. The challenger's clock runs.
    function conflict(uint256 jobId, uint8 loser, uint8 winner) external;

    /// @notice Asks for the winner's row at a position. By the challenger, before its clock is out; the winners' clock runs.
    function ask(uint256 jobId, uint8 loser, uint32 position) external;

    /// @notice Shows the row that was asked for. By anyone, before the winners' clock is out; the challenger's runs again.
    function respond(
        uint256 jobId,
        uint8 loser,
        IJobs.Result calldata winnerResult,
        bytes32 previous,
        bytes32[] calldata digests,
        bytes32[] calldata proof
    ) external;

    /// @notice Ends a conflict whose running clock is out. By anyone. A silent challenger loses its bond, and the replica may be
    /// disputed again. A silent winner's lead is slashed and jailed, the bond returns, and another winner may be asked within a
    /// response window; when all have been silent, the outvoted replica was right.
    /// @param winnerSealed what the winner committed with
    function timeout(uint256 jobId, uint8 loser, IJobs.Sealed calldata winnerSealed) external;

    /// @notice Says that a pinpointed replica was right and the majority wrong; takes a bond and asks the adjudicator, which
    /// has the challenge window to answer, or its own `windowSeconds` where that is longer. By anyone, within the response window.
    /// The proof is the pinpoint's, once more.
    function contest(PinpointProof calldata proof) external;

    /// @notice Answers a question. By the adjudicator, before the dispute's deadline.
    function rule(uint256 disputeId, IAdjudicator.Verdict verdict) external;

    /// @notice Carries out what came of a dispute. By anyone: once it is Resolved; or from its deadline, where it was pinpointed
    /// and nobody contested, or the adjudicator did not answer.
    /// @param winnerSealed looked at only where the winner is guilty
    function conclude(
        uint256 jobId,
        uint8 loser,
        IJobs.Sealed calldata loserSealed,
        IJobs.Sealed calldata winnerSealed
    ) external;

    /// @notice Punishes the stage of another winner that had the same wrong row as the one found guilty, where the verdict is
    /// about that row. By anyone, once each.
    function punishWinner(uint256 jobId, uint8 loser, uint8 winner, IJobs.Sealed calldata winnerSealed) external;

    /// @notice Takes the job lock of every stage of an outvoted replica that nobody disputes. By anyone, from the challenge
    /// deadline on.
    function forfeit(uint256 jobId, uint8 loser, IJobs.Sealed calldata loserSealed) external;

    /// @notice Shows two receipts of one stage with the same input and different outputs, both signed by its node: it is slashed
    /// and jailed. By anyone, at any time, once for each input.
    function equivocation(
        Receipt calldata first,
        bytes32 secondOutput,
        bytes calldata firstSignature,
        bytes calldata secondSignature
    ) external;

    /// @notice Pays out bonds that returned to the caller.
    function withdraw() external returns (uint256 amount);

    function dispute(uint256 jobId, uint8 loser) external view returns (Dispute memory);

    /// @notice What `conflict` and `contest` take.
    function bondOf(uint256 jobId) external view returns (uint256);

    /// @notice What `withdraw` would pay `account`.
    function balanceOf(address account) external view returns (uint256);

    function market() external view returns (IJobMarket);

    /// @notice The zero address where there is none: then nothing can be contested.
    function adjudicator() external view returns (IAdjudicator);
}
