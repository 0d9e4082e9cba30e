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

    /// @notice The escrow is taken and every operator's lock in place; seats may commit.
    /// @param operators short ids by seat, 32 bits each, seat 0 lowest
    event EpochOpened(
        bytes32 indexed epochId, address indexed requester, bytes32 indexed modelId, EpochOrder order, uint256 operators
    );
    /// @notice A seat has committed to its root.
    event RootCommitted(bytes32 indexed epochId, uint8 indexed seat, address indexed signer, bytes32 commitment);
    /// @notice A seat has opened its root.
    event RootRevealed(bytes32 indexed epochId, uint8 indexed seat, bytes32 root, bytes32 leavesDigest);
    /// @notice No root has a majority: jobs can be opened until `deadline`.
    event EpochContested(bytes32 indexed epochId, uint64 deadline);
    /// @notice One job was shown in several trees, and a result has a majority of the team.
    /// @param losers bitmap of the seats whose leaf was not the majority's
    /// @param leaf that result
    event JobOpened(bytes32 indexed epochId, uint16 indexed job, bytes32 leaf, uint8 losers, address challenger);
    /// @notice No result of this job has a majority, or most left it out: nobody is paid for it.
    event JobVoided(bytes32 indexed epochId, uint16 indexed job);
    /// @notice A root has a majority, or all that stand have one: its seats are paid.
    /// @param winners bitmap of the seats that are paid
    /// @param paidEach what each of them costs the requester
    /// @param refund wei of the token that go back to the requester
    event EpochSettled(bytes32 indexed epochId, bytes32 root, uint8 winners, uint256 paidEach, uint256 refund);
    /// @notice There is nobody to pay: all of the escrow goes back.
    event EpochRefunded(bytes32 indexed epochId, uint256 refund);
    /// @notice What came off the price of the seats that are paid, in wei of the token.
    event EpochFeesPaid(bytes32 indexed epochId, uint256 protocolFee, uint256 royalty, uint256 orchestratorFee);
    /// @notice A seat lost its lock: its root or its leaf was another, or it was silent. The last three add up to `amount`.
    event EpochSlashed(
        bytes32 indexed epochId,
        address indexed operator,
        uint64 indexed nodeId,
        uint256 amount,
        uint256 toChallenger,
        uint256 toRequester,
        uint256 burnt
    );
    /// @notice An account was paid its balance.
    event Withdrawn(address indexed account, uint256 amount);

    /// @notice This very order was opened before; take another nonce.
    error EpochExists(bytes32 epochId);
    /// @notice No epoch has this id; an order that was changed in anything has another id.
    error UnknownEpoch(bytes32 epochId);
    /// @notice The epoch is settled or refunded; nothing more can be done with it.
    error WrongState(bytes32 epochId, State state);
    /// @notice Only the order's requester opens it.
    error NotRequester(address caller, address requester);
    /// @notice The market's owner has not allowed this orchestrator.
    error UnknownOrchestrator(address orchestrator);
    /// @notice No model was published under this digest.
    error UnknownModel(bytes32 modelId);
    /// @notice Its publisher has retired the model: it takes no new work.
    error ModelIsRetired(bytes32 modelId);
    /// @notice Honest machines may differ in this model's results, so no vote over hashes can decide about them.
    error ModelIsTolerant(bytes32 modelId);
    /// @notice A team has 1, 3, 5 or 7 seats.
    error TeamSizeWrong(uint256 seats, uint256 maxSeats);
    /// @notice An epoch has a job at least.
    error NoJobs();
    /// @notice A job needs 1 unit at least, and no more than the model's publisher allows.
    error UnitsOutOfRange(uint32 units, uint32 maxUnits);
    /// @notice A job must pay `unitsPerJob × pricePerUnit` at least.
    /// @param least wei of the token
    error PriceTooLow(uint80 pricePerJob, uint256 least);
    /// @notice Seats × jobs × price is above what an epoch can hold; make it smaller.
    /// @param escrow wei of the token
    error EscrowTooLarge(uint256 escrow, uint256 most);
    /// @notice The commit deadline must leave `minWindowSeconds` from now.
    error DeadlineTooSoon(uint64 deadline, uint256 earliest);
    /// @notice The commit deadline may be `maxWindowSeconds` from now at most.
    error DeadlineTooFar(uint64 deadline, uint256 latest);
    /// @notice One signature a seat is needed.
    error SignatureCountWrong(uint256 signatures, uint256 expected);
    /// @notice The orchestrator did not sign this order.
    error BadOrchestratorSignature(address recovered, address orchestrator);
    /// @notice The node's signer did not sign this order.
    error BadNodeSignature(uint64 nodeId, address recovered);
    /// @notice Every node of the team must be Active when the epoch is opened.
    error NodeNotActive(uint64 nodeId, INodeRegistry.NodeStatus status);
    /// @notice The node must claim all blocks of the model.
    error ModelNotCovered(uint64 nodeId, bytes32 modelId);
    /// @notice Two nodes of one operator are no two voices; take another.
    error OperatorServesTwice(uint32 operatorId);
    /// @notice The commitment was not signed by the signer of a node of the seat's operator.
    error NotSeat(bytes32 epochId, uint8 seat, address recovered);
    /// @notice Roots had to be committed before `deadline`.
    error CommitClosed(bytes32 epochId, uint256 deadline, uint256 nowAt);
    /// @notice Every seat in this call had done so before.
    error NothingNew(bytes32 epochId);
    /// @notice The seat has committed nothing that could be revealed.
    error NotCommitted(bytes32 epochId, uint8 seat);
    /// @notice Others may still commit: reveal from `opensAt` on, or when all have committed.
    error RevealNotOpen(bytes32 epochId, uint256 opensAt, uint256 nowAt);
    /// @notice Roots had to be revealed before `deadline`.
    error RevealClosed(bytes32 epochId, uint256 deadline, uint256 nowAt);
    /// @notice Somebody may still reveal; come back from `deadline` on, or when all that committed have revealed.
    error RevealStillOpen(bytes32 epochId, uint256 deadline, uint256 nowAt);
    /// @notice Root and salt are not what the seat committed to.
    error CommitmentMismatch(bytes32 committed, bytes32 revealed);
    /// @notice Until `anyoneFrom` only the order's orchestrator may settle.
    error NotOrchestrator(address caller, address orchestrator, uint256 anyoneFrom, uint256 nowAt);
    /// @notice Jobs may still be opened; settle from `deadline` on.
    error ChallengeStillOpen(bytes32 epochId, uint256 deadline, uint256 nowAt);
    /// @notice Jobs could be opened before `deadline`; only settling is left.
    error ChallengeClosed(bytes32 epochId, uint256 deadline, uint256 nowAt);
    /// @notice The order has no job of this number; they count from 0.
    error UnknownJob(uint16 job, uint16 jobs);
    /// @notice Openings must come in the order of seats, each seat once.
    error OpeningsOutOfOrder(uint8 seat);
    /// @notice The seat has revealed no root that a job could be opened in.
    error NotRevealed(bytes32 epochId, uint8 seat);
    /// @notice The proof must have as many siblings as a tree over all jobs has levels.
    error ProofLengthWrong(uint8 seat, uint256 length, uint256 expected);
    /// @notice Leaf and proof do not lead to the root that the seat revealed.
    error RootMismatch(uint8 seat, bytes32 revealed, bytes32 opened);
    /// @notice Every opened seat has the majority's leaf, or was outvoted before: there is nobody to convict.
    error NobodyOutvoted(bytes32 epochId, uint16 job);
    /// @notice No leaf has a majority of the team among these openings; open all seats that revealed.
    error NoMajority(bytes32 epochId, uint16 job);
    /// @notice Nobody is paid for this job already.
    error AlreadyVoid(bytes32 epochId, uint16 job);
    /// @notice The account's balance is 0.
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

    /// @notice The market whose registries, parameters and orchestrators count here too.
    function market() external view returns (IJobMarket);

    /// @notice Seconds that the orchestrator has to settle before anyone may.
    function gracePeriod() external view returns (uint40);
}
