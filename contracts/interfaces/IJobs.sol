// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IModelRegistry} from "./IModelRegistry.sol";
import {INodeRegistry} from "./INodeRegistry.sol";
import {IOrchestrators} from "./IOrchestrators.sol";
import {IOstrakaToken} from "./IOstrakaToken.sol";
import {IParams} from "./IParams.sol";
import {IShardRegistry} from "./IShardRegistry.sol";
import {IStakeVault} from "./IStakeVault.sol";

/// @title What the parts of the market have in common: its words, events and refusals, and the contracts that it stands on.
interface IJobs {
    /// @dev `Open → Committing → Revealing → Agreed → Final`; Final at once where nobody is outvoted; `Open → Cancelled`;
    /// `Failed` where no majority was found or nobody committed. Replacing: commits are open again for silent replicas.
    /// Disputed: Agreed, and an adjudicator is asked. Overturned: the adjudicator found the majority wrong.
    enum JobState {
        None,
        Open,
        Committing,
        Revealing,
        Agreed,
        Final,
        Cancelled,
        Failed,
        Replacing,
        Disputed,
        Overturned
    }

    /// @dev Committed in a closed job: never revealed. Judged: was outvoted, and the court has concluded since.
    enum ReplicaState {
        None,
        Committed,
        Revealed,
        Won,
        Outvoted,
        Judged
    }

    /// @param inputDigest digest of the canonical job input
    /// @param replicas R, 1 to 7
    /// @param maxUnits most positions to process
    /// @param priceCap escrow in wei of the token; at least `replicas × maxUnits × pricePerUnit`
    /// @param deadline timestamp before which replicas commit
    /// @param orchestrator who signs the assignments; the zero address for whoever's turn it is (IOrchestrators)
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

    /// @notice What a replica committed with. The market keeps its hash only.
    struct Sealed {
        bytes32 commitment;
        Stage[] stages;
    }

    /// @param orchestrator zero until a job that named none is bound
    /// @param escrow what the job still holds
    /// @param deadline commits are possible before it
    /// @param revealDeadline reveals are possible before it; falls when all replicas commit early; 0 once settled
    /// @param challengeDeadline a dispute may begin before it, a forfeit from then on; 0 unless Agreed
    /// @param epoch which set of parameters the job keeps to
    /// @param round how often its commit deadline was put off for silent replicas
    /// @param committed, revealed bitmaps over replicas
    /// @param outvoted bitmap of the outvoted replicas not judged yet
    /// @param resultHash the agreed one; 0 until then, and for a job settled by signatures
    struct JobView {
        JobState state;
        address requester;
        address orchestrator;
        bytes32 modelId;
        uint16 blocks;
        uint8 replicas;
        uint32 maxUnits;
        uint96 pricePerUnit;
        uint128 escrow;
        uint64 deadline;
        uint64 revealDeadline;
        uint64 challengeDeadline;
        uint8 epoch;
        uint8 round;
        uint8 committed;
        uint8 revealed;
        uint8 outvoted;
        bytes32 resultHash;
    }

    /// @param seal hash of `Sealed`, with the lead's operator id in front; 0 once a job is Final without a dispute
    struct ReplicaView {
        ReplicaState state;
        bytes32 seal;
        bytes32 resultHash;
    }

    /// @notice What the court asks about a job.
    /// @param outvoted bitmap of the outvoted replicas not judged yet
    /// @param winners bitmap of the replicas with the agreed result
    /// @param stageLock what each stage locked
    struct Standing {
        JobState state;
        uint64 challengeDeadline;
        uint16 blocks;
        uint8 epoch;
        uint8 outvoted;
        uint8 winners;
        uint256 stageLock;
    }

    event Initialized(address indexed court, address indexed settlement, address indexed orchestrators);
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
    /// @notice A job that named no orchestrator has one from now on.
    event OrchestratorBound(uint256 indexed jobId, address indexed orchestrator);
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
    /// @param silent bitmap of the replicas that have not committed
    event JobReplacing(uint256 indexed jobId, uint8 round, uint8 silent, uint64 deadline);
    /// @param winners, outvoted bitmaps over replicas
    event JobAgreed(uint256 indexed jobId, bytes32 resultHash, uint32 units, uint8 winners, uint8 outvoted);
    /// @notice All stages, the orchestrator and the requester signed: paid without votes.
    event JobSettledBySignatures(uint256 indexed jobId, bytes32 resultHash, uint32 units);
    /// @param contested bitmap of the replicas about which an adjudicator is asked
    event JobDisputed(uint256 indexed jobId, uint8 contested);
    event JobOverturned(uint256 indexed jobId, uint8 indexed replica);
    event JobFinalized(uint256 indexed jobId);
    event JobFailed(uint256 indexed jobId, uint256 refund);
    event JobCancelled(uint256 indexed jobId);
    event OperatorPaid(
        uint256 indexed jobId, uint8 indexed replica, uint32 indexed operatorId, uint64 nodeId, uint256 amount
    );
    /// @notice What came off the prices paid in this transaction.
    event FeesPaid(uint256 indexed jobId, uint256 protocolFee, uint256 royalty, uint256 orchestratorFee);
    /// @notice What of the escrow went back to the requester's balance.
    event EscrowReturned(uint256 indexed jobId, address indexed requester, uint256 amount);
    /// @notice An outvoted replica is judged and its reserve given out.
    event ReplicaJudged(uint256 indexed jobId, uint8 indexed replica);
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

    error NotDeployer(address caller, address deployer);
    error AlreadyInitialized(address court);
    error NotCourt(address caller, address court);
    error NotSettlement(address caller, address settlement);
    error NotOrchestrator(uint256 jobId, address given, address orchestrator);
    error NotItsTurn(uint256 jobId, address orchestrator, uint256 since);
    error TooManyOrchestrators(uint256 maxOrchestrators);
    error ZeroAddress();
    error UnknownJob(uint256 jobId);
    error WrongState(uint256 jobId, JobState state);
    error UnknownModel(bytes32 modelId);
    error ModelIsRetired(bytes32 modelId);
    error ModelIsTolerant(bytes32 modelId);
    error UnknownOrchestrator(address orchestrator);
    error ReplicasOutOfRange(uint8 replicas, uint8 maxReplicas);
    error UnitsOutOfRange(uint32 units, uint32 maxUnits);
    error PriceCapTooLow(uint128 priceCap, uint256 price);
    error PriceCapTooHigh(uint128 priceCap, uint256 most);
    error DeadlineTooSoon(uint64 deadline, uint256 earliest);
    error DeadlineTooFar(uint64 deadline, uint256 latest);
    error NotRequester(uint256 jobId, address caller, address requester);
    error NotParty(uint256 jobId, address caller);
    error NobodyIsSilent(uint256 jobId);
    error TooManyRounds(uint256 jobId, uint8 maxRounds);
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
    error OperatorServesTwice(uint256 jobId, uint32 operatorId);
    error NotCommitted(uint256 jobId, uint8 replica);
    error AlreadyRevealed(uint256 jobId, uint8 replica);
    error RevealNotOpen(uint256 jobId, uint256 opensAt, uint256 nowAt);
    error RevealClosed(uint256 jobId, uint256 deadline, uint256 nowAt);
    error RevealStillOpen(uint256 jobId, uint256 deadline, uint256 nowAt);
    error CommitmentMismatch(bytes32 committed, bytes32 revealed);
    error ReplicaCountWrong(uint256 given, uint8 replicas);
    error SealMismatch(uint256 jobId, uint8 replica, bytes32 committed, bytes32 given);
    error NotOutvoted(uint256 jobId, uint8 replica);
    error ResultMismatch(uint8 replica, bytes32 revealed, bytes32 given);
    error NothingToWithdraw(address account);

    function jobCount() external view returns (uint64);

    function params() external view returns (IParams);

    function court() external view returns (address);

    function settlement() external view returns (address);

    function treasury() external view returns (address);

    /// @notice Who says whose turn it is to match a job that names nobody.
    function orchestrators() external view returns (IOrchestrators);

    function token() external view returns (IOstrakaToken);

    function vault() external view returns (IStakeVault);

    function nodes() external view returns (INodeRegistry);

    function models() external view returns (IModelRegistry);

    function shards() external view returns (IShardRegistry);
}
