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

    event Initialized(address indexed court);
    event CaseOpened(uint256 indexed disputeId, uint256 indexed jobId, IAdjudicator.Question question, uint256 deadline);
    /// @param inTime whether the court was told; else its deadline had passed
    event CaseClosed(uint256 indexed disputeId, IAdjudicator.Verdict verdict, bool inTime);

    error NotDeployer(address caller, address deployer);
    error AlreadyInitialized(address court);
    error ZeroAddress();
    error ZeroRule();
    error SeatsOutOfRange(uint8 seats, uint8 appealSeats, uint8 most);
    error WindowTooLong(uint256 windowSeconds, uint256 unbondingSeconds);
    error NotCourt(address caller, address court);
    error UnknownCase(uint256 disputeId);
    error CaseIsClosed(uint256 disputeId);
    error CaseStillOpen(uint256 disputeId, uint256 closesAt, uint256 nowAt);

    /// @notice Names the court. By the deployer, once.
    function initialize(address court) external;

    /// @notice All zero for a dispute that the court did not ask about.
    function caseOf(uint256 disputeId) external view returns (Case memory);

    function rules() external view returns (Rules memory);

    function court() external view returns (IDisputeCourt);

    function market() external view returns (IJobMarket);

    function sortition() external view returns (ISortition);
}
