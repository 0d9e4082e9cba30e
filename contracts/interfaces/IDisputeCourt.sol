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
    /// @dev Drawn in docs/contracts/states.md. Resolved: the verdict is known; Settled: it is carried out.
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

    /// @notice Somebody lacks a trace and asks for it row by row; the challenger's clock runs.
    event ConflictOpened(
        uint256 indexed jobId, uint8 indexed replica, address indexed challenger, uint8 winner, uint256 bond
    );
    /// @notice The challenger wants the winner's digests at a position; the winners' clock runs.
    /// @param respondBefore timestamp
    event RowAsked(uint256 indexed jobId, uint8 indexed replica, uint32 position, uint256 respondBefore);
    /// @notice The digests stand in the transaction's input.
    event RowShown(uint256 indexed jobId, uint8 indexed replica, uint32 position, uint256 askBefore);
    /// @notice A winner let its clock run out: its lead is punished.
    event TraceWithheld(uint256 indexed jobId, uint8 indexed replica, uint8 winner);
    /// @notice The challenger let its clock run out: its bond is the treasury's, and the replica can be disputed again.
    event ConflictAbandoned(uint256 indexed jobId, uint8 indexed replica, address challenger);
    /// @notice It is shown where the outvoted replica went its own way. The loser's stage is to blame unless somebody
    /// contests in time.
    /// @param position the first position that differs
    /// @param block the first block whose output differs; the lead's first block where the lead is to blame
    /// @param contestBefore timestamp
    event StagePinpointed(
        uint256 indexed jobId,
        uint8 indexed replica,
        address indexed challenger,
        uint8 winner,
        uint32 position,
        uint16 block,
        uint256 contestBefore
    );
    /// @notice Somebody says that the outvoted replica was right; the adjudicator is asked.
    event PinpointContested(uint256 indexed jobId, uint8 indexed replica, address indexed contester, uint256 bond);
    /// @notice The verdict is known and can be carried out.
    event DisputeResolved(uint256 indexed jobId, uint8 indexed replica, IAdjudicator.Verdict verdict);
    /// @notice The verdict is carried out: stakes, pay and bonds are where they belong.
    event DisputeSettled(uint256 indexed jobId, uint8 indexed replica, IAdjudicator.Verdict verdict);
    /// @notice Nobody disputed the outvoted replica in time: each of its stages lost its job lock.
    event ReplicaForfeited(uint256 indexed jobId, uint8 indexed replica);
    /// @notice Another winner had the same wrong row; its stage is slashed and its node jailed.
    event WinnerPunished(uint256 indexed jobId, uint8 indexed replica, uint8 winner, uint64 nodeId);
    /// @notice The node signed two outputs for one input; it is slashed and jailed.
    event Equivocated(uint256 indexed jobId, uint64 indexed nodeId, address indexed challenger);
    /// @notice Bonds that had returned were paid out.
    event BondWithdrawn(address indexed account, uint256 amount);

    /// @notice The market has no job of this number.
    error UnknownJob(uint256 jobId);
    /// @notice Disputes are about jobs that are Agreed, Disputed or Overturned.
    error WrongJobState(uint256 jobId, IJobs.JobState state);
    /// @notice The replica was not outvoted, or is judged already.
    error NotOutvoted(uint256 jobId, uint8 replica);
    /// @notice The replica does not have the agreed result, or is not the one that the dispute is held against.
    error NotWinner(uint256 jobId, uint8 replica);
    /// @notice This call does not fit the dispute's state; docs/contracts/states.md has the order of calls.
    error WrongDisputeState(uint256 jobId, uint8 replica, DisputeState state);
    /// @notice A dispute had to begin before `deadline`; from then on the replica can only be forfeited.
    error ChallengeClosed(uint256 jobId, uint256 deadline, uint256 nowAt);
    /// @notice The replica may still be disputed; it can be forfeited from `deadline` on.
    error ChallengeStillOpen(uint256 jobId, uint256 deadline, uint256 nowAt);
    /// @notice The move had to come before `deadline`; from then on `timeout` or `conclude` ends it.
    error ClockRanOut(uint256 jobId, uint8 replica, uint256 deadline, uint256 nowAt);
    /// @notice The other side may still move; come back from `deadline` on.
    error ClockStillRuns(uint256 jobId, uint8 replica, uint256 deadline, uint256 nowAt);
    /// @notice This winner was silent in an earlier conflict; name another one.
    error AlreadyWithheld(uint256 jobId, uint8 winner);
    /// @notice Only who opened the conflict may ask for rows.
    error NotChallenger(address caller, address challenger);
    /// @notice Only the adjudicator answers.
    error NotAdjudicator(address caller, address adjudicator);
    /// @notice The court was created without an adjudicator: nothing can be contested.
    error NoAdjudicator();
    /// @notice `None` is no answer.
    error NoVerdict();
    /// @notice Units, output digest and trace root do not give what the replica revealed; take them from its
    /// `ReplicaRevealed` event.
    error ResultMismatch(uint8 replica, bytes32 revealed, bytes32 given);
    /// @notice The position must be below `units`, the length of the shorter trace.
    error PositionOutOfRange(uint32 position, uint32 units);
    /// @notice A row has a digest for each border: one more than the model has blocks.
    error RowLengthWrong(uint8 replica, uint256 digests, uint256 expected);
    /// @notice The Merkle proof must have as many siblings as the replica's tree has levels.
    error ProofLengthWrong(uint8 replica, uint256 siblings, uint256 expected);
    /// @notice The row and its proof do not lead to the root that the replica revealed.
    error TraceRootMismatch(uint8 replica, bytes32 revealed, bytes32 given);
    /// @notice Both rows are equal here; show the first position at which they differ.
    error NoDifference(uint32 position);
    /// @notice The traces alone show who is wrong: a fed token, a stated output, or another block than the pinpoint's.
    error NothingToJudge(uint256 jobId, uint8 replica);
    /// @notice Other winners are punished only after a contest found the winner's row wrong.
    error WinnerNotGuilty(uint256 jobId, uint8 replica);
    /// @notice This offence was punished before.
    /// @param offence hash of who did what
    error AlreadyPunished(bytes32 offence);
    /// @notice Both receipts state the same output: that is no offence.
    error SameReceipt(bytes32 output);
    /// @notice A receipt was not signed by a key that is or was the node's.
    error BadReceiptSignature(uint64 nodeId, address recovered);
    /// @notice The account has no bond that returned.
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

    /// @notice The dispute about an outvoted replica; state None where there is none.
    function dispute(uint256 jobId, uint8 loser) external view returns (Dispute memory);

    /// @notice What `conflict` and `contest` take.
    function bondOf(uint256 jobId) external view returns (uint256);

    /// @notice What `withdraw` would pay `account`.
    function balanceOf(address account) external view returns (uint256);

    /// @notice The market whose jobs are judged, and which carries verdicts out.
    function market() external view returns (IJobMarket);

    /// @notice The zero address where there is none: then nothing can be contested.
    function adjudicator() external view returns (IAdjudicator);
}
