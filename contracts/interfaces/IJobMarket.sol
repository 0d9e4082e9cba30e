// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IModelRegistry} from "./IModelRegistry.sol";
import {INodeRegistry} from "./INodeRegistry.sol";
import {IOstrakaToken} from "./IOstrakaToken.sol";
import {IShardRegistry} from "./IShardRegistry.sol";
import {IStakeVault} from "./IStakeVault.sol";

/// @title JobMarket: escrow, commit, reveal, verdict, pay.
/// @notice A job runs as R replicas, each a chain of stages on nodes of different operators. Each replica commits to a hash
/// of its result and of its whole trace, then reveals it. The hash that more than half of all R revealed is the result.
/// Windows are half-open: an action with a deadline is possible while `now < deadline`, what waits for it from
/// `now >= deadline`. The market holds exactly the sum of all balances and of all jobs' `escrow`.
interface IJobMarket {
    /// @dev `Open → Committing → Revealing → Agreed → Final`; Final at once where nobody is outvoted; `Open → Cancelled`;
    /// `Failed` where no majority was found or nobody committed.
    enum JobState {
        None,
        Open,
        Committing,
        Revealing,
        Agreed,
        Final,
        Cancelled,
        Failed
    }

    /// @dev Committed in a closed job: never revealed. Judged: was outvoted, and pinpointed or forfeited since.
    enum ReplicaState {
        None,
        Committed,
        Revealed,
        Won,
        Outvoted,
        Judged
    }

    /// @notice Fixed at deployment. Shares are in basis points.
    /// @param lockMultiple what a stage locks while it works, in prices of its replica
    /// @param slashBps share of the stake left after the job lock that proven fraud costs
    /// @param challengerBps share of what is slashed that the challenger gets
    /// @param minWindowSeconds shortest time from submission to the commit deadline
    /// @param revealWindowSeconds from the moment when reveals open
    /// @param challengeWindowSeconds from `finalize`
    struct MarketParams {
        uint16 protocolFeeBps;
        uint16 orchestratorFeeBps;
        uint16 lockMultiple;
        uint16 slashBps;
        uint16 challengerBps;
        uint32 minWindowSeconds;
        uint32 maxWindowSeconds;
        uint32 revealWindowSeconds;
        uint32 challengeWindowSeconds;
    }

    /// @param inputDigest digest of the canonical job input
    /// @param replicas R, 1 to 7
    /// @param maxUnits most positions to process
    /// @param priceCap escrow in wei of the token; at least `replicas × maxUnits × pricePerUnit`
    /// @param deadline timestamp before which replicas commit
    /// @param orchestrator who signs the assignments
    struct SubmitRequest {
        bytes32 modelId;
        bytes32 inputDigest;
        uint8 replicas;
        uint32 maxUnits;
        uint128 priceCap;
        uint64 deadline;
        address orchestrator;
    }

    /// @notice One place of a route: `nodeId` runs blocks `[start, stop)` for `workBps` of the replica's pay.
    struct Stage {
        uint64 nodeId;
        uint16 start;
        uint16 stop;
        uint16 workBps;
    }

    /// @notice What a replica revealed.
    struct Result {
        uint32 units;
        bytes32 outputDigest;
        bytes32 traceRoot;
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
        Stage[] loserStages;
        Result loserResult;
        Result winnerResult;
        uint32 position;
        bytes32 previous;
        bytes32[] loserDigests;
        bytes32[] winnerDigests;
        bytes32[] loserProof;
        bytes32[] winnerProof;
    }

    /// @param units positions paid for; 0 until the job is agreed
    /// @param escrow what the job still holds
    /// @param deadline commits are possible before it
    /// @param revealDeadline reveals are possible before it; falls when all replicas commit early; 0 once settled
    /// @param challengeDeadline pinpoint is possible before it, forfeit from then on; 0 unless Agreed
    /// @param committed, revealed bitmaps over replicas
    /// @param outvoted bitmap of the outvoted replicas not judged yet
    /// @param resultHash the agreed one; 0 until then
    struct JobView {
        JobState state;
        address requester;
        address orchestrator;
        bytes32 modelId;
        uint16 blocks;
        uint8 replicas;
        uint32 maxUnits;
        uint32 units;
        uint96 pricePerUnit;
        uint128 escrow;
        uint64 deadline;
        uint64 revealDeadline;
        uint64 challengeDeadline;
        uint8 committed;
        uint8 revealed;
        uint8 outvoted;
        bytes32 resultHash;
    }

    struct ReplicaView {
        ReplicaState state;
        bytes32 assignmentHash;
        bytes32 commitment;
        bytes32 resultHash;
    }

    event OrchestratorChanged(address indexed orchestrator, bool allowed);
    event JobSubmitted(
        uint256 indexed jobId,
        address indexed requester,
        bytes32 indexed modelId,
        address orchestrator,
        bytes32 inputDigest,
        uint8 replicas,
        uint32 maxUnits,
        uint128 priceCap,
        uint64 deadline
    );
    event ReplicaCommitted(
        uint256 indexed jobId, uint8 indexed replica, address indexed committer, bytes32 assignmentHash, bytes32 commitment
    );
    event ReplicaRevealed(
        uint256 indexed jobId,
        uint8 indexed replica,
        uint32 units,
        bytes32 outputDigest,
        bytes32 traceRoot,
        bytes32 resultHash
    );
    /// @param winners, outvoted bitmaps over replicas
    event JobAgreed(uint256 indexed jobId, bytes32 resultHash, uint8 winners, uint8 outvoted);
    event JobFinalized(uint256 indexed jobId);
    event JobFailed(uint256 indexed jobId, uint256 refund);
    event JobCancelled(uint256 indexed jobId);
    event OperatorPaid(
        uint256 indexed jobId, uint8 indexed replica, address indexed operator, uint64 nodeId, uint256 amount
    );
    /// @notice What came off the prices paid in this transaction.
    event FeesPaid(uint256 indexed jobId, uint256 protocolFee, uint256 royalty, uint256 orchestratorFee);
    /// @notice What of the escrow went back to the requester's balance.
    event EscrowReturned(uint256 indexed jobId, address indexed requester, uint256 amount);
    /// @param position the first position that differs
    /// @param block the first block whose output differs; the lead's first block where the lead is to blame
    event StagePinpointed(
        uint256 indexed jobId, uint8 indexed replica, uint64 indexed nodeId, uint32 position, uint16 block
    );
    event ReplicaForfeited(uint256 indexed jobId, uint8 indexed replica);
    event Slashed(
        uint256 indexed jobId,
        address indexed operator,
        uint64 indexed nodeId,
        uint256 amount,
        uint256 toChallenger,
        uint256 toRequester,
        uint256 burnt
    );
    event Withdrawn(address indexed account, uint256 amount);

    error BadParams(MarketParams params);
    error ZeroAddress();
    error UnknownJob(uint256 jobId);
    error WrongState(uint256 jobId, JobState state);
    error UnknownModel(bytes32 modelId);
    error ModelIsRetired(bytes32 modelId);
    error UnknownOrchestrator(address orchestrator);
    error ReplicasOutOfRange(uint8 replicas, uint8 maxReplicas);
    error UnitsOutOfRange(uint32 units, uint32 maxUnits);
    error PriceCapTooLow(uint128 priceCap, uint256 price);
    error DeadlineTooSoon(uint64 deadline, uint256 earliest);
    error DeadlineTooFar(uint64 deadline, uint256 latest);
    error NotRequester(uint256 jobId, address caller, address requester);
    error AlreadyCommitted(uint256 jobId, uint8 replica);
    error NothingCommitted(uint256 jobId);
    error UnknownReplica(uint256 jobId, uint8 replica);
    error CommitClosed(uint256 jobId, uint256 deadline, uint256 nowAt);
    error CommitStillOpen(uint256 jobId, uint256 deadline, uint256 nowAt);
    error StageCountOutOfRange(uint256 stages, uint256 maxStages);
    error StageGap(uint256 stage, uint16 start, uint16 expectedStart);
    error StageEmpty(uint256 stage, uint16 start, uint16 stop);
    error StagesEndWrong(uint16 stop, uint16 blocks);
    error WorkSumWrong(uint256 workBps, uint256 expectedBps);
    error SignatureCountWrong(uint256 signatures, uint256 stages);
    error BadOrchestratorSignature(address recovered, address orchestrator);
    error BadNodeSignature(uint64 nodeId, address recovered, address signer);
    error NotLead(address caller, address lead);
    error NodeNotActive(uint64 nodeId, INodeRegistry.NodeStatus status);
    error SpanNotCovered(uint64 nodeId, uint16 start, uint16 stop);
    error OperatorServesTwice(uint256 jobId, address operator);
    error NotCommitted(uint256 jobId, uint8 replica);
    error AlreadyRevealed(uint256 jobId, uint8 replica);
    error RevealNotOpen(uint256 jobId, uint256 opensAt, uint256 nowAt);
    error RevealClosed(uint256 jobId, uint256 deadline, uint256 nowAt);
    error RevealStillOpen(uint256 jobId, uint256 deadline, uint256 nowAt);
    error CommitmentMismatch(bytes32 committed, bytes32 revealed);
    error ReplicaCountWrong(uint256 given, uint8 replicas);
    error StagesMismatch(uint256 jobId, uint8 replica, bytes32 committed, bytes32 given);
    error NotOutvoted(uint256 jobId, uint8 replica);
    error NotWinner(uint256 jobId, uint8 replica);
    error ChallengeClosed(uint256 jobId, uint256 deadline, uint256 nowAt);
    error ChallengeStillOpen(uint256 jobId, uint256 deadline, uint256 nowAt);
    error ResultMismatch(uint8 replica, bytes32 revealed, bytes32 given);
    error PositionOutOfRange(uint32 position, uint32 units);
    error RowLengthWrong(uint8 replica, uint256 digests, uint256 expected);
    error ProofLengthWrong(uint8 replica, uint256 siblings, uint256 expected);
    error TraceRootMismatch(uint8 replica, bytes32 revealed, bytes32 given);
    error NoDifference(uint32 position);
    error NothingToWithdraw(address account);

    /// @notice Allows or forbids an orchestrator for jobs submitted from now on. By the owner.
    function setOrchestrator(address orchestrator, bool allowed) external;

    /// @notice Submits a job and takes `priceCap` of the caller's tokens into escrow.
    /// @return jobId counts from 1
    function submit(SubmitRequest calldata request) external returns (uint256 jobId);

    /// @notice Takes a job back while nobody has committed; the whole escrow returns. By the requester.
    function cancel(uint256 jobId) external;

    /// @notice Commits a replica and locks its operators' stake. By the lead: the signer of stage 0's node.
    /// @param index which replica, from 0
    /// @param stages tile `[0, blocks)`; their `workBps` add up to 10 000; at most 64
    /// @param orchestratorSignature over `Assignment(jobId, replica, stages)`
    /// @param nodeSignatures each stage's signer over `Attestation(hashStruct(Assignment), commitment)`
    /// @param commitment docs/protocol.md §6
    function commit(
        uint256 jobId,
        uint8 index,
        Stage[] calldata stages,
        bytes calldata orchestratorSignature,
        bytes[] calldata nodeSignatures,
        bytes32 commitment
    ) external;

    /// @notice Opens a commitment, once all replicas committed or the commit deadline passed. By its committer.
    function reveal(
        uint256 jobId,
        uint8 index,
        uint32 units,
        bytes32 outputDigest,
        bytes32 traceRoot,
        bytes32 salt
    ) external;

    /// @notice Counts the votes, pays and unlocks the winners, punishes who withheld a reveal. By anyone, once all that
    /// committed have revealed, or the reveal deadline passed, or the commit deadline with too few to ever agree.
    /// @param stagesByReplica what each replica committed with; empty for one that did not commit
    function finalize(uint256 jobId, Stage[][] calldata stagesByReplica) external;

    /// @notice Returns the escrow of a job to which nobody committed before its deadline. By anyone.
    function expire(uint256 jobId) external;

    /// @notice Shows which stage of an outvoted replica is to blame: it is slashed and jailed, the others are paid. By
    /// anyone, before the challenge deadline; the caller gets `challengerBps` of what is slashed.
    function pinpoint(PinpointProof calldata proof) external;

    /// @notice Takes the job lock of every stage of an outvoted replica that nobody pinpointed. By anyone, from the
    /// challenge deadline on.
    function forfeit(uint256 jobId, uint8 index, Stage[] calldata stages) external;

    /// @notice Pays the caller's balance out.
    function withdraw() external returns (uint256 amount);

    /// @notice All zero for an id that does not exist. The state takes the clock into account.
    function job(uint256 jobId) external view returns (JobView memory);

    function replica(uint256 jobId, uint8 index) external view returns (ReplicaView memory);

    function jobCount() external view returns (uint256);

    /// @notice What `withdraw` would pay `account`.
    function balanceOf(address account) external view returns (uint256);

    function isOrchestrator(address account) external view returns (bool);

    /// @notice What each stage of the job locks.
    function jobLockOf(uint256 jobId) external view returns (uint256);

    function params() external view returns (MarketParams memory);

    function treasury() external view returns (address);

    function token() external view returns (IOstrakaToken);

    function vault() external view returns (IStakeVault);

    function nodes() external view returns (INodeRegistry);

    function models() external view returns (IModelRegistry);

    function shards() external view returns (IShardRegistry);
}
