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

    /// @notice The three contracts that the market works with are named, once and for ever.
    event Initialized(address indexed court, address indexed settlement, address indexed orchestrators);
    /// @notice Jobs submitted from now on may name this orchestrator, or not any more.
    event OrchestratorChanged(address indexed orchestrator, bool allowed);
    /// @notice The escrow is taken, and replicas may commit until `deadline`.
    /// @param orchestrator zero where the job names nobody
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
    /// @notice A replica's stages have signed and their operators' stake is locked.
    /// @param assignmentHash `hashStruct(Assignment)`
    event ReplicaCommitted(
        uint256 indexed jobId, uint8 indexed replica, address indexed committer, bytes32 assignmentHash, bytes32 commitment
    );
    /// @notice A replica has opened its result.
    event ReplicaRevealed(
        uint256 indexed jobId,
        uint8 indexed replica,
        uint32 units,
        bytes32 outputDigest,
        bytes32 traceRoot,
        bytes32 resultHash
    );
    /// @notice Silent replicas may be run by other nodes: commits are open until the new deadline.
    /// @param silent bitmap of the replicas that have not committed
    event JobReplacing(uint256 indexed jobId, uint8 round, uint8 silent, uint64 deadline);
    /// @notice More than half of all replicas have one result.
    /// @param winners, outvoted bitmaps over replicas
    event JobAgreed(uint256 indexed jobId, bytes32 resultHash, uint32 units, uint8 winners, uint8 outvoted);
    /// @notice All stages, the orchestrator and the requester signed: paid without votes.
    event JobSettledBySignatures(uint256 indexed jobId, bytes32 resultHash, uint32 units);
    /// @notice An adjudicator was asked about a replica, or has answered.
    /// @param contested bitmap of the replicas about which an adjudicator is asked
    event JobDisputed(uint256 indexed jobId, uint8 contested);
    /// @notice An outvoted replica was right and the majority wrong; the job's result counts no more.
    event JobOverturned(uint256 indexed jobId, uint8 indexed replica);
    /// @notice The job is over and its result stands.
    event JobFinalized(uint256 indexed jobId);
    /// @notice The job is over without a result, and the requester gets its escrow back.
    /// @param refund wei of the token
    event JobFailed(uint256 indexed jobId, uint256 refund);
    /// @notice The requester has taken the job back; its escrow returns.
    event JobCancelled(uint256 indexed jobId);
    /// @notice An operator earned its stage's share, in wei of the token; it can be withdrawn.
    event OperatorPaid(
        uint256 indexed jobId, uint8 indexed replica, uint32 indexed operatorId, uint64 nodeId, uint256 amount
    );
    /// @notice What came off the prices paid in this transaction.
    event FeesPaid(uint256 indexed jobId, uint256 protocolFee, uint256 royalty, uint256 orchestratorFee);
    /// @notice What of the escrow went back to the requester's balance.
    event EscrowReturned(uint256 indexed jobId, address indexed requester, uint256 amount);
    /// @notice An outvoted replica is judged and its reserve given out.
    event ReplicaJudged(uint256 indexed jobId, uint8 indexed replica);
    /// @notice An operator lost stake over this job. The last three add up to `amount`, all in wei of the token.
    event Slashed(
        uint256 indexed jobId,
        address indexed operator,
        uint64 indexed nodeId,
        uint256 amount,
        uint256 toChallenger,
        uint256 toRequester,
        uint256 burnt
    );
    /// @notice An account was paid its balance, what its nodes earned included.
    event Withdrawn(address indexed account, uint256 amount);

    /// @notice Only the account that created this contract may name the others.
    error NotDeployer(address caller, address deployer);
    /// @notice The others were named before and cannot be changed.
    error AlreadyInitialized(address court);
    /// @notice Only the court carries verdicts out; dispute there.
    error NotCourt(address caller, address court);
    /// @notice Only the SignedSettlement, which checks signatures, may pay a job without votes.
    error NotSettlement(address caller, address settlement);
    /// @notice The job names another orchestrator than the one that signed.
    error NotOrchestrator(uint256 jobId, address given, address orchestrator);
    /// @notice Others come before this orchestrator now: see `mayAssignFrom` of IOrchestrators.
    /// @param since timestamp of the submission
    error NotItsTurn(uint256 jobId, address orchestrator, uint256 since);
    /// @notice All numbers for orchestrators are given out.
    error TooManyOrchestrators(uint256 maxOrchestrators);
    /// @notice An address that is needed was left out.
    error ZeroAddress();
    /// @notice No job has this number.
    error UnknownJob(uint256 jobId);
    /// @notice This call does not fit the job's state; docs/contracts/states.md has the order of calls.
    error WrongState(uint256 jobId, JobState state);
    /// @notice No model was published under this digest.
    error UnknownModel(bytes32 modelId);
    /// @notice Its publisher has retired the model: it takes no new jobs.
    error ModelIsRetired(bytes32 modelId);
    /// @notice Honest machines may differ in this model's results, so no vote over hashes can decide about them.
    error ModelIsTolerant(bytes32 modelId);
    /// @notice The owner has not allowed this orchestrator; name another, or the zero address for whoever's turn it is.
    error UnknownOrchestrator(address orchestrator);
    /// @notice A job has 1 to `maxReplicas` replicas.
    error ReplicasOutOfRange(uint8 replicas, uint8 maxReplicas);
    /// @notice A job needs 1 unit at least, and no more than the model or the submission allows.
    error UnitsOutOfRange(uint32 units, uint32 maxUnits);
    /// @notice The escrow must cover all replicas at the job's most units.
    /// @param price `replicas × maxUnits × pricePerUnit`, in wei of the token
    error PriceCapTooLow(uint128 priceCap, uint256 price);
    /// @notice The escrow is above what a job can hold.
    /// @param most wei of the token
    error PriceCapTooHigh(uint128 priceCap, uint256 most);
    /// @notice The commit deadline must leave `minWindowSeconds` from now.
    error DeadlineTooSoon(uint64 deadline, uint256 earliest);
    /// @notice The commit deadline may be `maxWindowSeconds` from now at most.
    error DeadlineTooFar(uint64 deadline, uint256 latest);
    /// @notice Only the job's requester may do this.
    error NotRequester(uint256 jobId, address caller, address requester);
    /// @notice Only the job's orchestrator or its requester may do this.
    error NotParty(uint256 jobId, address caller);
    /// @notice All replicas have committed: there is nobody to replace.
    error NobodyIsSilent(uint256 jobId);
    /// @notice The deadline was put off as often as it may be.
    error TooManyRounds(uint256 jobId, uint8 maxRounds);
    /// @notice The replica has committed; a commitment cannot be changed.
    error AlreadyCommitted(uint256 jobId, uint8 replica);
    /// @notice Nobody has committed, so there is nothing to count; `expire` returns the escrow.
    error NothingCommitted(uint256 jobId);
    /// @notice The job has no replica of this number; they count from 0.
    error UnknownReplica(uint256 jobId, uint8 replica);
    /// @notice Replicas had to commit before `deadline`.
    error CommitClosed(uint256 jobId, uint256 deadline, uint256 nowAt);
    /// @notice Somebody may still commit; come back from `deadline` on.
    error CommitStillOpen(uint256 jobId, uint256 deadline, uint256 nowAt);
    /// @notice A replica has 1 to `maxStages` stages.
    error StageCountOutOfRange(uint256 stages, uint256 maxStages);
    /// @notice Each stage must begin where the one before it ends, the first at block 0.
    error StageGap(uint256 stage, uint16 start, uint16 expectedStart);
    /// @notice A stage runs a block at least.
    error StageEmpty(uint256 stage, uint16 start, uint16 stop);
    /// @notice The last stage must end with the model's last block.
    error StagesEndWrong(uint16 stop, uint16 blocks);
    /// @notice The stages' shares of the work must add up to 10 000 basis points.
    error WorkSumWrong(uint256 workBps, uint256 expectedBps);
    /// @notice Every stage but the lead must sign.
    /// @param stages how many signatures are needed
    error SignatureCountWrong(uint256 signatures, uint256 stages);
    /// @notice The job's orchestrator did not sign this assignment.
    error BadOrchestratorSignature(address recovered, address orchestrator);
    /// @notice The signer of a stage's node did not sign assignment and commitment.
    error BadNodeSignature(uint64 nodeId, address recovered, address signer);
    /// @notice Only the signer of stage 0's node may commit.
    error NotLead(address caller, address lead);
    /// @notice A stage's node must be Active when the replica commits.
    error NodeNotActive(uint64 nodeId, INodeRegistry.NodeStatus status);
    /// @notice The node does not claim all blocks of its stage.
    error SpanNotCovered(uint64 nodeId, uint16 start, uint16 stop);
    /// @notice The operator serves another replica of this job: its voice would count twice.
    error OperatorServesTwice(uint256 jobId, uint32 operatorId);
    /// @notice The replica has committed nothing that could be revealed.
    error NotCommitted(uint256 jobId, uint8 replica);
    /// @notice The replica's result stands open already.
    error AlreadyRevealed(uint256 jobId, uint8 replica);
    /// @notice Others may still commit: reveal from `opensAt` on, or when all have committed.
    error RevealNotOpen(uint256 jobId, uint256 opensAt, uint256 nowAt);
    /// @notice Results had to be revealed before `deadline`.
    error RevealClosed(uint256 jobId, uint256 deadline, uint256 nowAt);
    /// @notice Somebody may still reveal; come back from `deadline` on, or when all that committed have revealed.
    error RevealStillOpen(uint256 jobId, uint256 deadline, uint256 nowAt);
    /// @notice What is shown, and who shows it, do not give what the replica committed to.
    error CommitmentMismatch(bytes32 committed, bytes32 revealed);
    /// @notice All of the job's replicas must be given, also those that did not commit.
    error ReplicaCountWrong(uint256 given, uint8 replicas);
    /// @notice Commitment and stages are not what the replica committed with; take them from its commit transaction.
    error SealMismatch(uint256 jobId, uint8 replica, bytes32 committed, bytes32 given);
    /// @notice The replica was not outvoted, or is judged already.
    error NotOutvoted(uint256 jobId, uint8 replica);
    /// @notice The result given is not the one that was agreed on.
    error ResultMismatch(uint8 replica, bytes32 revealed, bytes32 given);
    /// @notice The account's balance is 0, and its nodes earned nothing since.
    error NothingToWithdraw(address account);

    /// @notice How many jobs were ever submitted, which is the number of the last.
    function jobCount() external view returns (uint64);

    /// @notice Where the numbers come from that jobs keep to.
    function params() external view returns (IParams);

    /// @notice Who judges outvoted replicas; the zero address until `initialize`.
    function court() external view returns (address);

    /// @notice Who may pay jobs that all concerned signed; the zero address until `initialize`.
    function settlement() external view returns (address);

    /// @notice Whose the protocol's fees are.
    function treasury() external view returns (address);

    /// @notice Who says whose turn it is to match a job that names nobody.
    function orchestrators() external view returns (IOrchestrators);

    /// @notice What jobs are paid in.
    function token() external view returns (IOstrakaToken);

    /// @notice Where operators' stake lies.
    function vault() external view returns (IStakeVault);

    /// @notice Which nodes there are, and whose.
    function nodes() external view returns (INodeRegistry);

    /// @notice Which models there are, and what they cost.
    function models() external view returns (IModelRegistry);

    /// @notice Which node claims which blocks.
    function shards() external view returns (IShardRegistry);
}
