// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IAdjudicator} from "../interfaces/IAdjudicator.sol";
import {ICases} from "../interfaces/ICases.sol";
import {IDisputeCourt} from "../interfaces/IDisputeCourt.sol";
import {IJobMarket} from "../interfaces/IJobMarket.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {ISortition} from "../interfaces/ISortition.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";

/// @title See ICases.
abstract contract Cases is IAdjudicator, ICases {
    uint8 private constant MAX_SEATS = 31;

    /// @inheritdoc ICases
    IJobMarket public immutable market;
    /// @inheritdoc ICases
    ISortition public immutable sortition;
    /// @inheritdoc ICases
    IDisputeCourt public court;
    /// @inheritdoc IAdjudicator
    uint256 public immutable windowSeconds;

    IStakeVault internal immutable _vault;
    INodeRegistry internal immutable _nodes;
    Rules internal _rules;
    address private immutable _deployer;
    mapping(uint256 disputeId => Case) private _cases;

    constructor(IJobMarket market_, ISortition sortition_, Rules memory rules_) {
        if (address(market_) == address(0) || address(sortition_) == address(0)) revert ZeroAddress();
        _checkRules(rules_);
        market = market_;
        sortition = sortition_;
        _vault = market_.vault();
        _nodes = market_.nodes();
        _rules = rules_;
        _deployer = msg.sender;
        uint256 round = uint256(rules_.seatSeconds) + rules_.commitSeconds + rules_.revealSeconds;
        windowSeconds = 2 * round + rules_.appealSeconds + rules_.closeSeconds;
        // Who is accused must not have taken its stake out when the answer comes.
        uint256 unbonding = _vault.unbondingPeriod();
        if (windowSeconds >= unbonding) revert WindowTooLong(windowSeconds, unbonding);
    }

    /// @inheritdoc ICases
    function initialize(address court_) external {
        if (msg.sender != _deployer) revert NotDeployer(msg.sender, _deployer);
        if (address(court) != address(0)) revert AlreadyInitialized(address(court));
        if (court_ == address(0)) revert ZeroAddress();
        court = IDisputeCourt(court_);
        emit Initialized(court_);
    }

    /// @inheritdoc IAdjudicator
    function judge(uint256 disputeId, Question calldata question, uint256 deadline) external {
        if (msg.sender != address(court)) revert NotCourt(msg.sender, address(court));
        Case storage entry = _cases[disputeId];
        entry.jobId = uint64(question.jobId);
        entry.modelId = question.modelId;
        entry.loser = question.loser;
        entry.winner = question.winner;
        entry.block = question.block;
        entry.deadline = uint40(deadline);
        emit CaseOpened(disputeId, question.jobId, question, deadline);
        _begin(disputeId, 0);
    }

    /// @inheritdoc ICases
    function caseOf(uint256 disputeId) external view returns (Case memory) {
        return _cases[disputeId];
    }

    /// @inheritdoc ICases
    function rules() external view returns (Rules memory) {
        return _rules;
    }

    /// @inheritdoc IAdjudicator
    /// @dev Votes are about the row. A proof is about a trace that one stage posted.
    function blamesRow(uint256 disputeId) external view returns (bool) {
        return _cases[disputeId].guilty == 0;
    }

    /// @dev A round of the committee; the seed is asked for at once.
    function _begin(uint256 disputeId, uint8 round) internal virtual;

    function _running(uint256 disputeId) internal view returns (Case storage entry) {
        entry = _cases[disputeId];
        if (entry.jobId == 0) revert UnknownCase(disputeId);
        if (entry.closed) revert CaseIsClosed(disputeId);
    }

    /// @dev The court takes an answer from a dispute's adjudicator once and before its deadline: this call cannot fail.
    function _answer(uint256 disputeId, Case storage entry, Verdict verdict) internal {
        bool inTime = block.timestamp < entry.deadline && verdict != Verdict.None;
        entry.closed = true;
        entry.verdict = verdict;
        emit CaseClosed(disputeId, verdict, inTime);
        if (inTime) court.rule(disputeId, verdict);
    }

    function _checkRules(Rules memory given) private pure {
        if (given.seats == 0 || given.appealSeats <= given.seats || given.appealSeats > MAX_SEATS) {
            revert SeatsOutOfRange(given.seats, given.appealSeats, MAX_SEATS);
        }
        if (
            given.seatSeconds == 0 || given.commitSeconds == 0 || given.revealSeconds == 0 || given.appealSeconds == 0
                || given.closeSeconds == 0 || given.proofSeconds == 0 || given.jurorBond == 0 || given.appealBond == 0
        ) revert ZeroRule();
    }
}
