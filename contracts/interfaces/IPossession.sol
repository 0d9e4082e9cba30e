// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title Possession challenges: a node shows that it holds the blocks that it claims.
/// @notice A challenger pays a bond. The chain block after the challenge picks one block of the claimed span and one chunk of its
/// file; the node shows the chunk with two Merkle proofs against the model's shard root (docs/protocol.md §1) within the window
/// and keeps the bond. A node that does not is slashed and jailed, and its claim dropped. Half-open windows as everywhere.
interface IPossession {
    /// @dev `Open → Proven`, `→ Failed`, or `→ Void` where nobody could see the seed any more.
    enum ChallengeState {
        None,
        Open,
        Proven,
        Failed,
        Void
    }

    /// @param windowSeconds what a node has to answer; must be well below the vault's unbonding period
    /// @param cooldownSeconds after a proof, before the same claim may be challenged again
    /// @param bond wei of the token that a challenge costs if it is answered
    /// @param minSlash wei of the token that a failure costs at least, where there is that much
    /// @param slashBps share of the operator's whole stake, unbonding stake included, that a failure costs
    struct Terms {
        uint32 windowSeconds;
        uint32 cooldownSeconds;
        uint96 bond;
        uint96 minSlash;
        uint16 slashBps;
    }

    /// @param start, stop the span as it was claimed when the challenge was opened
    /// @param requestBlock the chain block of the challenge; the hash of the next one is the seed
    /// @param deadline a proof is possible before it, `fail` from then on
    /// @param penalty what `fail` slashes, if there is as much
    /// @param locked the part of the penalty that was free stake, and is locked until the challenge ends
    /// @param seed 0 until it is drawn
    struct Challenge {
        ChallengeState state;
        uint64 nodeId;
        uint16 start;
        uint16 stop;
        uint40 requestBlock;
        uint40 deadline;
        address challenger;
        uint96 penalty;
        uint96 locked;
        bytes32 modelId;
        bytes32 seed;
    }

    /// @notice A chunk of a block's file, and where it stands.
    /// @param chunkCount, chunkRoot of the block's file
    /// @param blockProof that they are the block's
    /// @param chunk the bytes; 1024, or fewer at the end of a file
    /// @param chunkProof that they stand where the seed says
    struct Proof {
        uint32 chunkCount;
        bytes32 chunkRoot;
        bytes32[] blockProof;
        bytes chunk;
        bytes32[] chunkProof;
    }

    /// @notice The node must show a chunk before `deadline`.
    event PossessionChallenged(
        uint256 indexed challengeId,
        uint64 indexed nodeId,
        bytes32 indexed modelId,
        address challenger,
        uint16 start,
        uint16 stop,
        uint256 deadline
    );
    /// @notice The seed is kept, so that the challenge can be answered or end after the chain forgot it.
    event PossessionDrawn(uint256 indexed challengeId, bytes32 seed);
    /// @notice The node has shown the chunk, and earned the bond.
    event PossessionProven(uint256 indexed challengeId, uint64 indexed nodeId);
    /// @notice The node did not answer: it is slashed and jailed. The last two add up to `slashed`, all in wei of the
    /// token.
    event PossessionFailed(
        uint256 indexed challengeId, uint64 indexed nodeId, uint256 slashed, uint256 toChallenger, uint256 burnt
    );
    /// @notice The chain forgot the seed before anybody drew it: nobody loses anything.
    event PossessionVoided(uint256 indexed challengeId);
    /// @notice An account was paid its balance.
    event Withdrawn(address indexed account, uint256 amount);

    /// @notice The window must be above 0, and a share 10 000 basis points at most.
    error TermsOutOfRange(uint32 windowSeconds, uint16 slashBps);
    /// @notice The claim is being challenged already.
    error ChallengeStillOpen(uint64 nodeId, bytes32 modelId, uint256 challengeId);
    /// @notice The claim was proven lately; it can be challenged from `challengeableAt` on.
    error StillCoolingDown(uint64 nodeId, bytes32 modelId, uint256 challengeableAt, uint256 nowAt);
    /// @notice The challenge is not open: it has ended, or never was.
    error WrongChallengeState(uint256 challengeId, ChallengeState state);
    /// @notice The seed can be read in chain blocks after `readyAfterBlock`.
    error SeedNotReady(uint256 challengeId, uint256 readyAfterBlock, uint256 nowBlock);
    /// @notice The chain forgot the seed after `lastBlock` and nobody drew it before; `void` ends the challenge.
    error SeedExpired(uint256 challengeId, uint256 lastBlock, uint256 nowBlock);
    /// @notice The seed is kept already.
    error SeedAlreadyDrawn(uint256 challengeId);
    /// @notice The seed is drawn, or can be until `lastBlock`: the challenge ends by `prove` or `fail`.
    error SeedNotExpired(uint256 challengeId, uint256 lastBlock, uint256 nowBlock);
    /// @notice The answer had to come before `deadline`.
    error AnswerTooLate(uint256 challengeId, uint256 deadline, uint256 nowAt);
    /// @notice The node may still answer; it has failed from `deadline` on.
    error AnswerStillOpen(uint256 challengeId, uint256 deadline, uint256 nowAt);
    /// @notice A file has a chunk at least.
    error ChunkCountOutOfRange(uint32 chunkCount);
    /// @notice Chunk count, chunk root and proof do not lead to the model's shard root, at the block that the seed picked.
    /// @param block_ the block that was to be shown
    /// @param root where they lead
    error BlockProofWrong(uint256 challengeId, uint32 block_, bytes32 root, bytes32 shardRoot);
    /// @notice The bytes and their proof do not lead to the chunk root, at the chunk that the seed picked.
    /// @param chunk the chunk that was to be shown
    /// @param root where they lead
    error ChunkProofWrong(uint256 challengeId, uint32 chunk, bytes32 root, bytes32 chunkRoot);
    /// @notice The account's balance is 0.
    error NothingToWithdraw(address account);

    /// @notice Challenges a claim, takes the bond and locks what there is of the penalty. One at a time for each claim. May
    /// be paused. By anyone.
    function challenge(uint64 nodeId, bytes32 modelId) external returns (uint256 challengeId);

    /// @notice Keeps the seed, which the chain forgets after 256 chain blocks. A challenger whose node stays silent does so;
    /// a proof needs no drawing before it. By anyone.
    function draw(uint256 challengeId) external returns (bytes32 seed);

    /// @notice Answers a challenge, before its deadline. By the node's signer or operator; the bond is the operator's.
    function prove(uint256 challengeId, Proof calldata proof) external;

    /// @notice Slashes, jails and drops the claim of a node that did not answer. By anyone, from the deadline on.
    function fail(uint256 challengeId) external;

    /// @notice Ends a challenge whose seed the chain forgot before anybody drew it; the bond returns. By anyone.
    function void(uint256 challengeId) external;

    /// @notice Pays the caller's balance out.
    function withdraw() external returns (uint256 amount);

    /// @notice All zero for an id that does not exist; ids count from 1.
    function challengeOf(uint256 challengeId) external view returns (Challenge memory);

    /// @notice The open challenge of a claim; 0 where there is none.
    function openChallenge(uint64 nodeId, bytes32 modelId) external view returns (uint256 challengeId);

    /// @notice From when on a claim may be challenged again after its last proof.
    function challengeableAt(uint64 nodeId, bytes32 modelId) external view returns (uint256);

    /// @notice Which block and, for a file of `chunkCount` chunks, which chunk a seed picks from a span.
    function pick(bytes32 seed, uint16 start, uint16 stop, uint32 chunkCount)
        external
        pure
        returns (uint32 block_, uint32 chunk);

    /// @notice Windows, bonds and penalties; fixed when this contract was created.
    function possessionTerms() external view returns (Terms memory);

    /// @notice How many challenges there ever were, which is the number of the last.
    function challengeCount() external view returns (uint256);

    /// @notice What `withdraw` would pay `account`.
    function balanceOf(address account) external view returns (uint256);

    /// @notice The sum of the bonds of all open challenges.
    function openBonds() external view returns (uint256);
}
