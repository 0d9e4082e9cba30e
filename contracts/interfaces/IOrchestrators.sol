// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IJobMarket} from "./IJobMarket.sol";
import {IJobs} from "./IJobs.sol";
import {IOstrakaToken} from "./IOstrakaToken.sol";
import {IRandomness} from "./IRandomness.sol";

/// @title Orchestrators: who may match the jobs that name nobody, and in which order.
/// @notice Whoever stakes is in. Time is divided into epochs of `epochSeconds`, counted from the Unix epoch. For each, an order of up
/// to eight is drawn by stake, without repetition, from a seed of a chain block after the stakes that count were frozen: those that
/// stood when the epoch before began. A job is matched by the order of the epoch in which it was submitted: its leader at once,
/// rank k once the job has waited `k × takeoverSeconds` for its first commit, everybody else after the last rank. The first commit
/// binds the job to whoever signed it (IJobMarket). Where no order was drawn everybody waits one takeover, and who is alone not at
/// all, so a job is never stuck because nobody asked for a seed.
interface IOrchestrators {
    /// @dev `None → Active → Leaving → None`; `Active → Jailed → Leaving`.
    enum Status {
        None,
        Active,
        Leaving,
        Jailed
    }

    /// @param minStake wei of the token; at least one whole token
    /// @param epochSeconds longer than a job's way from submission to its seed, so that most orders are drawn in time
    /// @param takeoverSeconds longer than most jobs take until their first commit, shorter than what deadlines leave
    /// @param unbondingSeconds how long stake stays slashable after leaving; at least two epochs
    /// @param maxMembers most that are Active at once; 1 to 64
    struct Terms {
        uint96 minStake;
        uint32 epochSeconds;
        uint32 takeoverSeconds;
        uint32 unbondingSeconds;
        uint8 maxMembers;
    }

    /// @param stake wei; while leaving and in jail too
    /// @param unlockAt when `withdraw` pays; 0 unless Leaving
    /// @param slot its place among the weights, from 1; 0 unless Active
    struct Member {
        uint96 stake;
        uint40 unlockAt;
        uint8 slot;
        Status status;
    }

    /// @notice An account is in, and counts for orders two epochs later.
    /// @param stake wei of the token
    event OrchestratorRegistered(address indexed account, string endpoint, uint96 stake);
    /// @notice An account staked more, in wei of the token.
    /// @param stake all of it
    event OrchestratorStakeAdded(address indexed account, uint96 amount, uint96 stake);
    /// @notice The account answers elsewhere from now on.
    event OrchestratorEndpointChanged(address indexed account, string endpoint);
    /// @notice An account is out, by itself or because a larger stake took its place; its stake unbonds.
    event OrchestratorLeft(address indexed account, uint40 unlockAt);
    /// @notice The stake was paid out, in wei of the token, and the account forgotten.
    event OrchestratorWithdrawn(address indexed account, uint96 amount);
    /// @notice An epoch's seed is on its way.
    /// @param seedBlock number of the chain block whose hash decides
    event OrderAsked(uint256 indexed orderEpoch, uint256 requestId, uint256 seedBlock);
    /// @notice An epoch's order stands.
    /// @param ranked the leader first
    event OrderDrawn(uint256 indexed orderEpoch, bytes32 seed, address[] ranked);
    /// @notice An orchestrator signed more routes than rounds. The last two add up to `amount`, all in wei of the token.
    /// @param offence hash of account, job and replica
    event OrchestratorSlashed(
        address indexed account, address indexed reporter, bytes32 offence, uint256 amount, uint256 toReporter, uint256 burnt
    );

    /// @notice A number of the terms is outside its limits: see `Terms`.
    error BadTerms(Terms terms);
    /// @notice Market and randomness must be given.
    error ZeroAddress();
    /// @notice The account is in, or its stake still unbonds: withdraw first.
    error AlreadyRegistered(address account, Status status);
    /// @notice This call does not fit the account's status; docs/contracts/states.md has the order of calls.
    error WrongMemberStatus(address account, Status status);
    /// @notice An endpoint has 1 to `maxLength` bytes.
    error EndpointLengthOutOfRange(uint256 length, uint256 maxLength);
    /// @notice `minStake` is the least, in wei of the token.
    error StakeTooLow(uint96 stake, uint96 minStake);
    /// @notice All places are taken, and it needs more than the smallest stake to take one over.
    error NoRoom(uint96 stake, uint96 smallest);
    /// @notice Those who left keep their slots while an order may count them; come back an epoch or two later.
    error AllSlotsTaken(uint256 slots);
    /// @notice The amount must be above 0.
    error ZeroAmount();
    /// @notice The stake can be withdrawn from `unlockAt` on.
    error StillUnbonding(address account, uint40 unlockAt, uint256 nowAt);
    /// @notice Orders are asked for and drawn in their epoch or the one before.
    error EpochOutOfReach(uint256 orderEpoch, uint256 current);
    /// @notice The epoch's order stands.
    error OrderAlreadyDrawn(uint256 orderEpoch);
    /// @notice The epoch's seed must be asked for first: `askOrder`.
    error OrderNotAsked(uint256 orderEpoch);
    /// @notice It takes `expected` assignments and as many signatures: one more than the job had rounds.
    error AssignmentCountWrong(uint256 assignments, uint256 signatures, uint256 expected);
    /// @notice All assignments must differ.
    /// @param assignment its hash
    error SameAssignment(bytes32 assignment);
    /// @notice All assignments must be signed by one account.
    error SignersDiffer(address first, address other);
    /// @notice The account was punished for this job and replica before.
    error AlreadyPunished(bytes32 offence);

    /// @notice Stakes and is in; counts for orders from the epoch after the next. May be paused. Where all places are taken, the
    /// smallest stake makes room for a larger one.
    /// @param endpoint where it answers; 1 to 256 bytes, kept in events only
    function register(string calldata endpoint, uint96 stake) external;

    /// @notice Adds to the caller's stake; counts as late as a registration. May be paused. While Active.
    function addStake(uint96 amount) external;

    /// @notice Announces another endpoint. While Active.
    function setEndpoint(string calldata endpoint) external;

    /// @notice Ends it: no assignment counts from now on, and the stake unbonds. While Active or Jailed.
    function leave() external;

    /// @notice Pays the stake out, once unbonding is over. The account may register again.
    function withdraw() external returns (uint96 amount);

    /// @notice Asks for the seed of an epoch's order: of the present or of the next. By anyone; once more where the seed was
    /// forgotten before anybody drew.
    function askOrder(uint256 orderEpoch) external;

    /// @notice Draws an epoch's order, once its seed is there. By anyone, until the epoch is over. Throws are counted as in ISortition.
    function drawOrder(uint256 orderEpoch) external;

    /// @notice Proves that one orchestrator signed more routes for a replica than its job had rounds: two that differ, and one more
    /// for each time that the job's deadline was put off. `slashBps` of its stake is taken, of which the caller gets
    /// `challengerBps` and the rest is burnt, and it is jailed. By anyone, once a job and replica, also while it is unbonding.
    /// @param assignments stages of each, all different
    /// @param signatures over `Assignment(jobId, replica, stages)` in the market's domain
    function proveDouble(
        uint256 jobId,
        uint8 replica,
        IJobs.Stage[][] calldata assignments,
        bytes[] calldata signatures
    ) external;

    /// @notice Whether a first commit that `account` signed would be taken now for a job submitted at `since`.
    function mayAssign(address account, uint256 since) external view returns (bool);

    /// @notice From when on it may; 2^256 − 1 for who is not Active.
    function mayAssignFrom(address account, uint256 since) external view returns (uint256);

    /// @notice Who has this rank, from 0, in an epoch's order; the zero address where nobody has.
    function leader(uint256 orderEpoch, uint256 rank) external view returns (address);

    /// @notice An epoch's order; empty until it is drawn. Of epochs longer ago than one, a place may have got another holder.
    function order(uint256 orderEpoch) external view returns (address[] memory ranked);

    /// @notice Whether an epoch's order was drawn, and the request for its seed; 0 where nobody asked.
    function orderStatus(uint256 orderEpoch) external view returns (bool drawn, uint256 requestId);

    /// @notice The epoch of this second.
    function epochAt(uint256 timestamp) external view returns (uint256);

    /// @notice All that are Active.
    function active() external view returns (address[] memory accounts);

    /// @notice How many are Active.
    function activeCount() external view returns (uint256);

    /// @notice An account's place; all zero for one that is not registered.
    function member(address account) external view returns (Member memory);

    /// @notice What an order of this epoch counts for the account, in whole tokens. Of the present epoch or the next.
    function weightOf(address account, uint256 orderEpoch) external view returns (uint256);

    /// @notice Stakes and times; fixed when this contract was created.
    function terms() external view returns (Terms memory);

    /// @notice The market whose jobs are matched.
    function market() external view returns (IJobMarket);

    /// @notice Where the seeds of orders come from.
    function randomness() external view returns (IRandomness);

    /// @notice What is staked.
    function token() external view returns (IOstrakaToken);
}
