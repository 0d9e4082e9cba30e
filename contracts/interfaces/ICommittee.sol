// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IAdjudicator} from "./IAdjudicator.sol";
import {IJobs} from "./IJobs.sol";

/// @title Adjudicator, 3: a committee drawn by lot, with one appeal.
/// @notice Jurors recompute the block and vote: committed first, then revealed. Two thirds of the revealed votes are the verdict;
/// fewer, and it cannot be told (`Nobody`). Where no more than half of the seats reveal, the round says nothing. An appeal within its
/// window has twice as many judge anew. By the last word, jurors who were silent or voted otherwise lose their bond to those who agree with
/// it; where there is no word of two thirds, only the silent lose. This contract holds exactly the sum of open appeal bonds and of
/// all balances.
interface ICommittee {
    /// @param requestId the seed asked for in IRandomness
    /// @param seatBy timestamp before which `seat` must come
    /// @param commitBy votes are committed before it, and revealed from then on
    /// @param revealBy votes are revealed before it
    /// @param seated, committed, revealed how many jurors
    /// @param tooFew whether a draw found fewer jurors than half of the seats need: the round is over
    struct Round {
        uint64 requestId;
        uint40 seatBy;
        uint40 commitBy;
        uint40 revealBy;
        uint8 seated;
        uint8 committed;
        uint8 revealed;
        bool tooFew;
    }

    /// @param vote None until it is revealed
    struct Seat {
        address juror;
        uint32 operatorId;
        IAdjudicator.Verdict vote;
        bytes32 commitment;
    }

    /// @notice A committee is to be drawn, as soon as the seed can be read.
    /// @param seatBy timestamp before which `seat` must come
    event RoundBegun(uint256 indexed disputeId, uint8 indexed round, uint256 requestId, uint256 seatBy);
    /// @notice A juror was drawn, and its bond is locked.
    event JurorSeated(uint256 indexed disputeId, uint8 indexed round, address indexed juror, uint256 seat);
    /// @notice All jurors of the round are drawn; they may commit votes now.
    /// @param commitBy timestamp at which commits end and reveals begin
    /// @param revealBy timestamp at which reveals end
    event CommitteeSeated(uint256 indexed disputeId, uint8 indexed round, uint256 commitBy, uint256 revealBy);
    /// @notice Fewer jurors could be drawn than a word of the round needs: it is over without one.
    event TooFewJurors(uint256 indexed disputeId, uint8 indexed round, uint256 found, uint256 needed);
    /// @notice A juror has committed a vote. When all have, reveals begin at once.
    event VoteCommitted(uint256 indexed disputeId, uint8 indexed round, uint256 seat);
    /// @notice A juror has opened its vote.
    event VoteRevealed(uint256 indexed disputeId, uint8 indexed round, uint256 seat, IAdjudicator.Verdict vote);
    /// @notice A larger committee judges anew.
    /// @param verdict what the first one said
    /// @param bond wei of the token taken from the appellant
    event Appealed(uint256 indexed disputeId, address indexed appellant, IAdjudicator.Verdict verdict, uint256 bond);
    /// @notice A juror was silent, or voted against a verdict of two thirds.
    /// @param slashed what was taken from a juror that was silent or voted otherwise
    event JurorLost(uint256 indexed disputeId, address indexed juror, uint256 slashed);
    /// @notice A juror's share of what others lost; it can be withdrawn.
    event JurorPaid(uint256 indexed disputeId, address indexed juror, uint256 amount);
    /// @notice The appeal's bond is let go.
    /// @param returned whether it went back; else the jurors share it
    event AppealBondClosed(uint256 indexed disputeId, address indexed appellant, bool returned);
    /// @notice An account was paid its balance.
    event Withdrawn(address indexed account, uint256 amount);

    /// @notice This round's jurors were drawn before, or the draw found too few.
    error AlreadySeated(uint256 disputeId, uint8 round);
    /// @notice The round's jurors had to be seated before `deadline`; without them the word before it stands: the first
    /// round's, or the majority's.
    error SeatingClosed(uint256 disputeId, uint256 deadline, uint256 nowAt);
    /// @notice The round has no seat of this number.
    error UnknownSeat(uint256 disputeId, uint8 round, uint256 seat);
    /// @notice Only the juror of the seat, or the signer of one of its nodes, may vote for it.
    error NotJuror(address caller, address juror);
    /// @notice 0 stands for no vote; commit the hash that `hashVote` gives.
    error ZeroCommitment();
    /// @notice The seat has committed; a vote cannot be changed.
    error AlreadyCommitted(uint256 disputeId, uint256 seat);
    /// @notice Votes had to be committed before `deadline`.
    error CommitClosed(uint256 disputeId, uint256 deadline, uint256 nowAt);
    /// @notice `None` is no vote: say who is guilty, or `Nobody`.
    error NoVote();
    /// @notice The seat has committed nothing that could be revealed.
    error NotCommitted(uint256 disputeId, uint256 seat);
    /// @notice The seat's vote stands open already.
    error AlreadyRevealed(uint256 disputeId, uint256 seat);
    /// @notice Others may still commit: reveal from `opensAt` on, or when all have committed.
    error RevealNotOpen(uint256 disputeId, uint256 opensAt, uint256 nowAt);
    /// @notice Votes had to be revealed before `deadline`.
    error RevealClosed(uint256 disputeId, uint256 deadline, uint256 nowAt);
    /// @notice Vote, salt, seat, round and sender do not give what was committed; the sender must be who committed.
    error CommitmentMismatch(bytes32 committed, bytes32 revealed);
    /// @notice No jurors were seated: there is no word to appeal or to carry out.
    error NoCommittee(uint256 disputeId);
    /// @notice There is one appeal, and it was made.
    error AlreadyAppealed(uint256 disputeId);
    /// @notice The first round is not over; appeal from `opensAt` on.
    error AppealNotOpen(uint256 disputeId, uint256 opensAt, uint256 nowAt);
    /// @notice An appeal had to come before `deadline`.
    error AppealClosed(uint256 disputeId, uint256 deadline, uint256 nowAt);
    /// @notice A wrong product is proven, which goes before votes: the committee is not asked any more.
    error LeafDecides(uint256 disputeId);
    /// @notice The account's balance is 0.
    error NothingToWithdraw(address account);

    /// @notice Draws the round's jurors and locks their bonds. An operator without a free bond is passed over for the next in
    /// turn, up to twice as many as there are seats. Operators of both replicas, the challenger, the contester and jurors of the
    /// first round are not drawn. By anyone, once the seed can be read, before `seatBy`.
    /// @param loserReplica, winnerReplica what the two replicas committed with
    function seat(uint256 disputeId, IJobs.Sealed calldata loserReplica, IJobs.Sealed calldata winnerReplica) external;

    /// @notice Commits a vote, `keccak256(abi.encode(DOMAIN, disputeId, round, seat, sender, vote, salt))`. By the juror, or the
    /// signer of one of its nodes, before `commitBy`, once.
    function commitVote(uint256 disputeId, uint256 seatIndex, bytes32 commitment) external;

    /// @notice Opens a vote. By its committer, from `commitBy` and before `revealBy`.
    function revealVote(uint256 disputeId, uint256 seatIndex, IAdjudicator.Verdict vote, bytes32 salt) external;

    /// @notice Has a larger committee judge anew; takes `appealBond`, which returns if it says otherwise. By anyone, once, for
    /// `appealSeconds` from the end of the reveals.
    function appeal(uint256 disputeId) external;

    /// @notice Ends a case: tells the court, if its deadline has not passed, lets all bonds go and pays the jurors. By anyone, when no
    /// window is open any more.
    function close(uint256 disputeId) external;

    /// @notice Pays out the caller's balance.
    function withdraw() external returns (uint256 amount);

    /// @notice What a round's votes so far amount to; None where no more than half of the seats have revealed.
    function tally(uint256 disputeId, uint8 round) external view returns (IAdjudicator.Verdict);

    /// @notice A round of a case; all zero where it never began.
    /// @param round 0, or 1 after an appeal
    function roundOf(uint256 disputeId, uint8 round) external view returns (Round memory);

    /// @notice A seat of a round; reverts for a number that was not drawn.
    /// @param round 0, or 1 after an appeal
    function seatOf(uint256 disputeId, uint8 round, uint256 seatIndex) external view returns (Seat memory);

    /// @notice What `commitVote` takes from `sender`, for this contract on this chain only.
    function hashVote(
        uint256 disputeId,
        uint8 round,
        uint256 seatIndex,
        address sender,
        IAdjudicator.Verdict vote,
        bytes32 salt
    ) external view returns (bytes32);

    /// @notice What `withdraw` would pay `account`.
    function balanceOf(address account) external view returns (uint256);

    /// @notice The sum of all appeal bonds that are still open.
    function openBonds() external view returns (uint256);
}
