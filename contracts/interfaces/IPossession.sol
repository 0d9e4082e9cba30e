// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title Possession challenges: a node shows that it holds the blocks that it claims.
/// @notice A challenger pays a bond. The chain block after the challenge picks one block of the claimed span and one chunk of its
/// file; the node shows the chunk with two Merkle proofs against the model's shard root (docs/protocol.md §1) within the window
/// and keeps the bond. A node that does not is slashed and jailed, and its claim dropped. Half-open windows as everywhere.
interface IPossession {
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

    event PossessionChallenged(
        uint256 indexed challengeId,
        uint64 indexed nodeId,
        bytes32 indexed modelId,
        address challenger,
        uint16 start,
        uint16 stop,
        uint256 deadline
    );
    event PossessionDrawn(uint256 indexed challengeId, bytes32 seed);
    event PossessionProven(uint256 indexed challengeId, uint64 indexed nodeId);
    event PossessionFailed(
        uint256 indexed challengeId, uint64 indexed nodeId, uint256 slashed, uint256 toChallenger, uint256 burnt
    );
    event PossessionVoided(uint256 indexed challengeId);
    event Withdrawn(address indexed account, uint256 amount);

    error TermsOutOfRange(uint32 windowSeconds, uint16 slashBps);
    error ChallengeStillOpen(uint64 nodeId, bytes32 modelId, uint256 challengeId);
    error StillCoolingDown(uint64 nodeId, bytes32 modelId, uint256 challengeableAt, uint256 nowAt);
    error WrongChallengeState(uint256 challengeId, ChallengeState state);
    error SeedNotReady(uint256 challengeId, uint256 readyAfterBlock, uint256 nowBlock);
    error SeedExpired(uint256 challengeId, uint256 lastBlock, uint256 nowBlock);
    error SeedAlreadyDrawn(uint256 challengeId);
    error SeedNotExpired(uint256 challengeId, uint256 lastBlock, uint256 nowBlock);
    error AnswerTooLate(uint256 challengeId, uint256 deadline, uint256 nowAt);
    error AnswerStillOpen(uint256 challengeId, uint256 deadline, uint256 nowAt);
    error ChunkCountOutOfRange(uint32 chunkCount);
    error BlockProofWrong(uint256 challengeId, uint32 block_, bytes32 root, bytes32 shardRoot);
    error ChunkProofWrong(uint256 challengeId, uint32 chunk, bytes32 root, bytes32 chunkRoot);
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

    function possessionTerms() external view returns (Terms memory);

    function challengeCount() external view returns (uint256);

    /// @notice What `withdraw` would pay `account`.
    function balanceOf(address account) external view returns (uint256);

    /// @notice The sum of the bonds of all open challenges.
    function openBonds() external view returns (uint256);
}
