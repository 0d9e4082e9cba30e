// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IAdjudicator} from "./IAdjudicator.sol";
import {IDisputeCourt} from "./IDisputeCourt.sol";
import {IJobMarket} from "./IJobMarket.sol";
import {ISortition} from "./ISortition.sol";

/// @title Adjudicator, 1: the cases, and how long they may take.
/// @notice A case goes two ways at once: to a committee drawn by lot (ICommittee), and to whoever proves a wrong product of
/// integers (ILeaves). A proof goes before votes. Windows are half-open. An answer is given to the court before its deadline or
/// not at all; bonds are let go either way.
interface ICases {
    /// @dev Of a case: the outvoted replica, and the one that it is held against.
    enum Side {
        Loser,
        Winner
    }

    /// @param seats, appealSeats jurors of the first and of the appeal round; at most 31, more in the appeal
    /// @param seatSeconds from a round's beginning: within it the jurors must be seated
    /// @param commitSeconds, revealSeconds from the seating; each ends early when nobody is left to wait for
    /// @param appealSeconds from the end of the first round's reveals
    /// @param closeSeconds kept free before the court's deadline for the call that answers
    /// @param proofSeconds from one side's proven guilt, for a proof of the other's
    /// @param jurorBond what a juror has locked, and loses when it is silent or votes against the final verdict
    /// @param appealBond what an appeal takes
    struct Rules {
        uint8 seats;
        uint8 appealSeats;
        uint32 seatSeconds;
        uint32 commitSeconds;
        uint32 revealSeconds;
        uint32 appealSeconds;
        uint32 closeSeconds;
        uint32 proofSeconds;
        uint96 jurorBond;
        uint96 appealBond;
    }

    /// @param deadline the court's
    /// @param ruleAt timestamp from which `close` carries a proof out; 0 where nothing is proven
    /// @param guilty bitmap of the sides proven wrong, by `Side`
    /// @param posted bitmap of the sides that posted a trace of their products
    /// @param round 0, or 1 after an appeal
    /// @param closed whether it is over; `verdict` is then what came of it
    struct Case {
        uint64 jobId;
        uint40 deadline;
        uint40 ruleAt;
        uint8 loser;
        uint8 winner;
        uint16 block;
        uint8 guilty;
        uint8 posted;
        uint8 round;
        bool closed;
        IAdjudicator.Verdict verdict;
        bytes32 modelId;
    }

    /// @notice The court is named, once and for ever: cases come from it, answers go to it.
    event Initialized(address indexed court);
    /// @notice The court asks: postings, proofs and the draw of a committee may begin.
    /// @param deadline the court's: timestamp before which it must be told
    event CaseOpened(uint256 indexed disputeId, uint256 indexed jobId, IAdjudicator.Question question, uint256 deadline);
    /// @notice The case is over, and all its bonds are let go.
    /// @param inTime whether the court was told; else its deadline had passed
    event CaseClosed(uint256 indexed disputeId, IAdjudicator.Verdict verdict, bool inTime);

    /// @notice Only the account that created this contract may name the court.
    error NotDeployer(address caller, address deployer);
    /// @notice The court was named before and cannot be changed.
    error AlreadyInitialized(address court);
    /// @notice Market, sortition and court must be given.
    error ZeroAddress();
    /// @notice Every window and bond of the rules must be above 0.
    error ZeroRule();
    /// @notice The first round needs a seat at least, the appeal more than the first, and no more than `most`.
    error SeatsOutOfRange(uint8 seats, uint8 appealSeats, uint8 most);
    /// @notice The longest way to an answer must be shorter than the vault's unbonding, or the accused could take its stake
    /// out before.
    error WindowTooLong(uint256 windowSeconds, uint256 unbondingSeconds);
    /// @notice Only the court opens cases; contest at the court to have it ask.
    error NotCourt(address caller, address court);
    /// @notice The court never asked about this dispute.
    error UnknownCase(uint256 disputeId);
    /// @notice The case is over: nothing can be posted, proved, voted or appealed any more.
    error CaseIsClosed(uint256 disputeId);
    /// @notice A window is still open; `close` works from `closesAt`.
    /// @param closesAt timestamp
    error CaseStillOpen(uint256 disputeId, uint256 closesAt, uint256 nowAt);

    /// @notice Names the court. By the deployer, once.
    function initialize(address court) external;

    /// @notice All zero for a dispute that the court did not ask about.
    function caseOf(uint256 disputeId) external view returns (Case memory);

    /// @notice Seats, windows and bonds; fixed when this contract was created.
    function rules() external view returns (Rules memory);

    /// @notice Who asks and is answered; the zero address until `initialize`.
    function court() external view returns (IDisputeCourt);

    /// @notice The market whose jobs are judged.
    function market() external view returns (IJobMarket);

    /// @notice Where jurors are drawn.
    function sortition() external view returns (ISortition);
}
