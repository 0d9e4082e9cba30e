// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IJobMarket} from "./IJobMarket.sol";
import {INodeRegistry} from "./INodeRegistry.sol";

/// @title EpochSettler: many small jobs of one model for one requester, settled together.
/// @notice A requester fixes the inputs of up to 65 535 jobs and names a team of R nodes of different operators, each with the
/// whole model. Every one of them runs all jobs, and commits to and then reveals one root: the Merkle tree over the jobs' result
/// hashes. A root that more than half of the team revealed is the result, and pays whoever revealed it; who revealed another,
/// or none, loses what it locked for the epoch, and no more than that. Where no root has a majority, single jobs are
/// opened until one voice stands, or the money returns. Windows are half-open: an action with a deadline is possible while
/// `now < deadline`, what waits for it from `now >= deadline`. The contract holds exactly the sum of all balances and of all
/// epochs' `escrow`.
/// @dev Cheap, and worth what it costs: a majority that agrees to lie takes the escrow and the locks of the others. What must
/// not depend on so little belongs into the market, as replicated jobs.
interface IEpochSettler {
    /// @dev `Committing → Revealing → Settled`, or `→ Contested → Settled` where no root has a majority; Refunded where
    /// there is nobody to pay.
    enum State {
        None,
        Committing,
        Revealing,
        Contested,
        Settled,
        Refunded
    }

    /// @notice What orchestrator and nodes sign: EIP-712 `EpochOrder(address requester,address orchestrator,bytes32 modelId,bytes32
    /// inputsRoot,uint16 jobs,uint32 unitsPerJob,uint80 pricePerJob,uint64[] nodeIds,uint64 commitDeadline,uint256 nonce)`. Its
    /// digest is the epoch's id, so one order opens one epoch, here and on this chain only.
    /// @param inputsRoot Merkle root of all inputs by job number. A node signs only when it has them all: what it leaves out later
    /// is its own fault
    /// @param unitsPerJob most positions one job may process
    /// @param pricePerJob wei of the token for one job on one node; at least `unitsPerJob × pricePerUnit`
    /// @param nodeIds the team, 1, 3, 5 or 7; its places are called seats
    /// @param commitDeadline timestamp before which the team commits
    /// @param nonce whatever the requester has not used in an otherwise equal order
    struct EpochOrder {
        address requester;
        address orchestrator;
        bytes32 modelId;
        bytes32 inputsRoot;
        uint16 jobs;
        uint32 unitsPerJob;
        uint80 pricePerJob;
        uint64[] nodeIds;
        uint64 commitDeadline;
        uint256 nonce;
    }

    /// @notice What a seat commits to.
    /// @param commitment `keccak256(abi.encode(keccak256("ostraka/epoch-commit/1"), epochId, seat, root, salt))`
    /// @param signature over EIP-712 `EpochCommit(bytes32 epochId,uint8 seat,bytes32 commitment)`, by the signer of any node of the
    /// seat's operator
    struct Sealed {
        uint8 seat;
        bytes32 commitment;
        bytes signature;
    }

    /// @param root Merkle root (docs/protocol.md §4) of the tree in which leaf j is the result hash of job j, 0 if left out
    /// @param leavesDigest SHA-256 of the file of all leaves, for whoever wants to compare; 0 where it is not published
    struct Revealed {
        uint8 seat;
        bytes32 root;
        bytes32 salt;
        bytes32 leavesDigest;
    }

    /// @notice One job in one seat's tree.
    /// @param leaf the job's result hash; 0 where it was left out
    /// @param proof siblings from the leaf up
    struct Opening {
        uint8 seat;
        bytes32 leaf;
        bytes32[] proof;
    }

    /// @param escrow what the epoch still holds
    /// @param phaseDeadline ends reveals, or challenges once Contested; falls when all commit early
    /// @param paramSet which set of parameters the epoch keeps to
    /// @param committed, revealed, outvoted bitmaps over seats
    /// @param voided jobs that nobody is paid for
    /// @param operators short ids by seat, 32 bits each, seat 0 lowest
    struct EpochView {
        State state;
        uint80 escrow;
        uint64 commitDeadline;
        uint64 phaseDeadline;
        uint16 royaltyBps;
        uint8 paramSet;
        uint8 lockMultiple;
        uint8 seats;
        uint8 committed;
        uint8 revealed;
        uint8 outvoted;
        uint16 voided;
        uint256 operators;
    }

    event EpochOpened(
        bytes32 indexed epochId, address indexed requester, bytes32 indexed modelId, EpochOrder order, uint256 operators
    );
    event RootCommitted(bytes32 indexed epochId, uint8 indexed seat, address indexed signer, bytes32 commitment);
    event RootRevealed(bytes32 indexed epochId, uint8 indexed seat, bytes32 root, bytes32 leavesDigest);
    /// @notice No root has a majority: jobs can be opened until `deadline`.
    event EpochContested(bytes32 indexed epochId, uint64 deadline);
    /// @param losers bitmap of the seats whose leaf was not the majority's
    event JobOpened(bytes32 indexed epochId, uint16 indexed job, bytes32 leaf, uint8 losers, address challenger);
    /// @notice No result of this job has a majority, or most left it out: nobody is paid for it.
    event JobVoided(bytes32 indexed epochId, uint16 indexed job);
    /// @param winners bitmap of the seats that are paid
    /// @param paidEach what each of them costs the requester
    event EpochSettled(bytes32 indexed epochId, bytes32 root, uint8 winners, uint256 paidEach, uint256 refund);
    event EpochRefunded(bytes32 indexed epochId, uint256 refund);
    event EpochFeesPaid(bytes32 indexed epochId, uint256 protocolFee, uint256 royalty, uint256 orchestratorFee);
    event EpochSlashed(
        bytes32 indexed epochId,
        address indexed operator,
        uint64 indexed nodeId,
        uint256 amount,
        uint256 toChallenger,
        uint256 toRequester,
        uint256 burnt
    );
    event Withdrawn(address indexed account, uint256 amount);

    error EpochExists(bytes32 epochId);
    error UnknownEpoch(bytes32 epochId);
    error WrongState(bytes32 epochId, State state);
    error NotRequester(address caller, address requester);
    error UnknownOrchestrator(address orchestrator);
    error UnknownModel(bytes32 modelId);
    error ModelIsRetired(bytes32 modelId);
    error ModelIsTolerant(bytes32 modelId);
    error TeamSizeWrong(uint256 seats, uint256 maxSeats);
    error NoJobs();
    error UnitsOutOfRange(uint32 units, uint32 maxUnits);
    error PriceTooLow(uint80 pricePerJob, uint256 least);
    error EscrowTooLarge(uint256 escrow, uint256 most);
    error DeadlineTooSoon(uint64 deadline, uint256 earliest);
    error DeadlineTooFar(uint64 deadline, uint256 latest);
    error SignatureCountWrong(uint256 signatures, uint256 expected);
    error BadOrchestratorSignature(address recovered, address orchestrator);
    error BadNodeSignature(uint64 nodeId, address recovered);
    error NodeNotActive(uint64 nodeId, INodeRegistry.NodeStatus status);
    error ModelNotCovered(uint64 nodeId, bytes32 modelId);
    error OperatorServesTwice(uint32 operatorId);
    error NotSeat(bytes32 epochId, uint8 seat, address recovered);
    error CommitClosed(bytes32 epochId, uint256 deadline, uint256 nowAt);
    error NothingNew(bytes32 epochId);
    error NotCommitted(bytes32 epochId, uint8 seat);
    error RevealNotOpen(bytes32 epochId, uint256 opensAt, uint256 nowAt);
    error RevealClosed(bytes32 epochId, uint256 deadline, uint256 nowAt);
    error RevealStillOpen(bytes32 epochId, uint256 deadline, uint256 nowAt);
    error CommitmentMismatch(bytes32 committed, bytes32 revealed);
    error NotOrchestrator(address caller, address orchestrator, uint256 anyoneFrom, uint256 nowAt);
    error ChallengeStillOpen(bytes32 epochId, uint256 deadline, uint256 nowAt);
    error ChallengeClosed(bytes32 epochId, uint256 deadline, uint256 nowAt);
    error UnknownJob(uint16 job, uint16 jobs);
    error OpeningsOutOfOrder(uint8 seat);
    error NotRevealed(bytes32 epochId, uint8 seat);
    error ProofLengthWrong(uint8 seat, uint256 length, uint256 expected);
    error RootMismatch(uint8 seat, bytes32 revealed, bytes32 opened);
    error NobodyOutvoted(bytes32 epochId, uint16 job);
    error NoMajority(bytes32 epochId, uint16 job);
    error AlreadyVoid(bytes32 epochId, uint16 job);
    error NothingToWithdraw(address account);

    /// @notice Opens an epoch: takes `R × jobs × pricePerJob` of the caller's tokens into escrow, and locks `lockMultiple` times
    /// what it may earn of each operator's stake. By the requester. May be paused.
    /// @param orchestratorSignature, nodeSignatures over the order; the latter of the nodes' signers, seat by seat
    function open(EpochOrder calldata order, bytes calldata orchestratorSignature, bytes[] calldata nodeSignatures)
        external
        returns (bytes32 epochId);

    /// @notice Commits seats to their roots. By anyone with their signatures: all at once, or each its own. A seat that has committed
    /// already is passed over, so that nobody can stop the others by being faster.
    function commit(bytes32 epochId, Sealed[] calldata seals) external;

    /// @notice Opens commitments, once the whole team committed or the commit deadline passed. By anyone who knows what is in them;
    /// a seat gives that away only when it need not fear copies any more. A seat that has revealed already is passed over.
    function reveal(bytes32 epochId, Revealed[] calldata roots) external;

    /// @notice Opens a job in the trees of several seats, once reveals are over and until the epoch is settled or its challenge
    /// deadline passed. By anyone. Where a result has a majority of the team, every other opened seat is outvoted: it loses
    /// pay and lock, of which the caller gets `challengerBps`. Where none has one and all that revealed are opened, nobody is
    /// paid for the job; nor where most left it out.
    /// @param openings in the order of seats. Outvoted seats still count as voices
    function conflict(EpochOrder calldata order, uint16 job, Opening[] calldata openings) external;

    /// @notice Counts roots and pays, or opens the time for `conflict` where there is no majority; then, from its end, pays if
    /// all that stand revealed the same, and returns the escrow if not. By the orchestrator as soon as reveals are over, too few committed,
    /// or challenges are over; by anyone `gracePeriod` after the deadline of that phase.
    function settle(EpochOrder calldata order) external;

    /// @notice Pays the caller's balance out.
    function withdraw() external returns (uint256 amount);

    /// @notice All zero for an id that does not exist. The state takes the clock into account.
    function epoch(bytes32 epochId) external view returns (EpochView memory);

    /// @notice The seat's commitment until it is revealed, its root from then on.
    function sealOf(bytes32 epochId, uint8 seat) external view returns (bytes32);

    /// @notice The digest that is signed, which is the epoch's id.
    function hashOrder(EpochOrder calldata order) external view returns (bytes32);

    /// @notice The EIP-712 digest of `EpochCommit`.
    function hashCommit(bytes32 epochId, uint8 seat, bytes32 commitment) external view returns (bytes32);

    /// @notice What `withdraw` would pay `account`.
    function balanceOf(address account) external view returns (uint256);

    function market() external view returns (IJobMarket);

    /// @notice Seconds that the orchestrator has to settle before anyone may.
    function gracePeriod() external view returns (uint40);
}
