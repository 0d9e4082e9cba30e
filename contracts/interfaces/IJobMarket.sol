// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IJobs} from "./IJobs.sol";
import {IOrchestrators} from "./IOrchestrators.sol";

/// @title JobMarket: escrow, commit, reveal, verdict, pay.
/// @notice A job runs as R replicas, each a chain of stages on nodes of different operators. Each replica commits to a hash
/// of its result and of its whole trace, then reveals it. The hash that more than half of all R revealed is the result.
/// Outvoted replicas are judged by the court. Windows are half-open: an action with a deadline is possible while
/// `now < deadline`, what waits for it from `now >= deadline`. The market holds exactly the sum of all balances and of all
/// jobs' `escrow`.
interface IJobMarket is IJobs {
    /// @notice Names the court, the contract that settles by signatures, and the one that says whose turn it is. By the
    /// deployer, once.
    function initialize(address court, address settlement, IOrchestrators orchestrators) external;

    /// @notice Allows or forbids an orchestrator for jobs submitted from now on. By the owner.
    function setOrchestrator(address orchestrator, bool allowed) external;

    /// @notice Submits a job and takes `priceCap` of the caller's tokens into escrow. May be paused.
    /// @return jobId counts from 1
    function submit(SubmitRequest calldata request) external returns (uint256 jobId);

    /// @notice Takes a job back while nobody has committed; the whole escrow returns. By the requester.
    function cancel(uint256 jobId) external;

    /// @notice Commits a replica and locks its operators' stake. By the lead: the signer of stage 0's node. The first commit of a
    /// job that names no orchestrator binds it to the one that signed, whose turn it must be (IOrchestrators).
    /// @param index which replica, from 0
    /// @param stages tile `[0, blocks)`; their `workBps` add up to 10 000; at most 64
    /// @param orchestratorSignature over `Assignment(jobId, replica, stages)`
    /// @param nodeSignatures the signers' of stages 1 and on, over `Attestation(hashStruct(Assignment), commitment)`; the lead's word is
    /// that it sends this
    /// @param commitment docs/protocol.md §6
    function commit(
        uint256 jobId,
        uint8 index,
        Stage[] calldata stages,
        bytes calldata orchestratorSignature,
        bytes[] calldata nodeSignatures,
        bytes32 commitment
    ) external;

    /// @notice Puts the commit deadline off by `minWindowSeconds`, so that a silent replica is run by other nodes; twice at
    /// most, and not once anybody revealed. By the orchestrator or the requester, before the reveal deadline.
    function replace(uint256 jobId) external;

    /// @notice Opens a commitment, once all replicas committed or the commit deadline passed. By its committer.
    /// @param assignment `hashStruct(Assignment)` it was committed with
    function reveal(
        uint256 jobId,
        uint8 index,
        bytes32 assignment,
        uint32 units,
        bytes32 outputDigest,
        bytes32 traceRoot,
        bytes32 salt
    ) external;

    /// @notice Counts the votes, pays and unlocks the winners, punishes who withheld a reveal. By anyone, once all that
    /// committed have revealed, or the reveal deadline passed, or the commit deadline with too few to ever agree.
    /// @param result the majority's; ignored where there is none
    /// @param replicas what each replica committed with; without stages for one that did not commit
    function finalize(uint256 jobId, Result calldata result, Sealed[] calldata replicas) external;

    /// @notice Pays a job to which nobody has committed as all concerned agreed: without votes, locks or score. A job that names no
    /// orchestrator is bound as by a commit. By the
    /// SignedSettlement, which has checked that requester, orchestrator and all stages' nodes signed.
    /// @param seats operator ids of the stages, replica by replica
    function settleAgreed(
        uint256 jobId,
        address requester,
        address orchestrator,
        Result calldata result,
        Stage[][] calldata replicas,
        uint32[][] calldata seats
    ) external;

    /// @notice Returns the escrow of a job to which nobody committed before its deadline. By anyone.
    function expire(uint256 jobId) external;

    /// @notice Concludes about an outvoted replica. By the court.
    /// @param guilty the stage to slash and jail, while the others are paid; EVERYONE (2^256 − 1): all lose their job lock;
    /// NOBODY (2^256 − 2): none is paid and none slashed
    /// @param challenger who gets `challengerBps` of what is slashed
    function conclude(uint256 jobId, uint8 index, Sealed calldata replica, uint256 guilty, address challenger) external;

    /// @notice Says that an outvoted replica was right: it is paid like a winner, and the job is Overturned. By the court.
    function overturn(uint256 jobId, uint8 index, Sealed calldata replica) external;

    /// @notice Marks whether an adjudicator is asked about a replica. By the court.
    function setContested(uint256 jobId, uint8 index, bool contested) external;

    /// @notice Slashes `slashBps` of the whole stake of a node's operator and jails it: fraud shown outside an outvoted
    /// replica. By the court.
    function punish(uint256 jobId, uint64 nodeId, address challenger) external;

    /// @notice Pays the caller's balance out.
    function withdraw() external returns (uint256 amount);

    /// @notice All zero for an id that does not exist. The state takes the clock into account.
    function job(uint256 jobId) external view returns (JobView memory);

    /// @notice What a replica has done; its state is None where it never committed.
    function replica(uint256 jobId, uint8 index) external view returns (ReplicaView memory);

    /// @notice What contracts ask most: a job's state and, once there is one, the agreed result hash. Cheaper than `job`.
    function outcome(uint256 jobId) external view returns (JobState state, bytes32 resultHash);

    /// @notice What disputes about a job rest on.
    function standing(uint256 jobId) external view returns (Standing memory);

    /// @notice Hashes of what two replicas revealed; 0 for one that did not.
    function resultsOf(uint256 jobId, uint8 first, uint8 second) external view returns (bytes32, bytes32);

    /// @notice Reverts unless this is what the replica committed with.
    function checkSeal(uint256 jobId, uint8 index, Sealed calldata replica) external view;

    /// @notice What `withdraw` would pay `account`.
    function balanceOf(address account) external view returns (uint256);

    /// @notice Whether jobs may name this account; who registered in IOrchestrators needs no such leave.
    function isOrchestrator(address account) external view returns (bool);

    /// @notice What each stage of the job locks.
    function jobLockOf(uint256 jobId) external view returns (uint256);
}
