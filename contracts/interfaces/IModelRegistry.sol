// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title ModelRegistry: which models there are, and what they cost.
/// @notice A model's id is the SHA-256 of its manifest, so whoever knows the id can fetch the manifest by content.
/// The name stands in the event only.
interface IModelRegistry {
    /// @dev Exact: equality of hashes decides, fraud is slashed. Tolerant: nobody is slashed for a hash.
    enum Profile {
        Exact,
        Tolerant
    }

    /// @param pricePerUnit wei of the token for one position through all blocks, one replica; whole gwei
    /// @param shardRoot Merkle root over the chunks of all block files, docs/protocol.md §1
    /// @param blocks number of blocks, B, at most 1024: a pinpoint carries two digests for each
    /// @param maxUnits most positions one job may process, at most 2^24 − 1
    /// @param royaltyBps the publisher's share of every price, at most 1000
    /// @param retired whether new jobs are refused
    struct Model {
        address publisher;
        uint96 pricePerUnit;
        bytes32 shardRoot;
        uint16 blocks;
        uint32 maxUnits;
        uint16 royaltyBps;
        Profile profile;
        bool retired;
    }

    /// @notice Jobs may name the model from now on; the publisher gets the royalty.
    /// @param pricePerUnit wei of the token
    event ModelPublished(
        bytes32 indexed modelId,
        address indexed publisher,
        bytes32 shardRoot,
        uint16 blocks,
        uint32 maxUnits,
        uint96 pricePerUnit,
        uint16 royaltyBps,
        Profile profile,
        string name
    );
    /// @notice Jobs submitted from now on pay the new price a unit, in wei of the token.
    event ModelPriceChanged(bytes32 indexed modelId, uint96 previous, uint96 current);
    /// @notice The model takes no new jobs and claims, for ever.
    event ModelRetired(bytes32 indexed modelId);

    /// @notice A digest has one publisher, the first.
    error AlreadyPublished(bytes32 modelId, address publisher);
    /// @notice No model was published under this digest.
    error UnknownModel(bytes32 modelId);
    /// @notice Only the model's publisher may do this.
    error NotPublisher(bytes32 modelId, address caller, address publisher);
    /// @notice The model was retired before, which cannot be undone.
    error ModelIsRetired(bytes32 modelId);
    /// @notice Manifest digest and shard root must be given.
    error ZeroDigest();
    /// @notice A model has 1 to `maxBlocks` blocks.
    error BlocksOutOfRange(uint16 blocks, uint16 maxBlocks);
    /// @notice A job's most units must be 1 to `most`.
    error MaxUnitsOutOfRange(uint32 maxUnits, uint32 most);
    /// @notice The price must be a whole number of gwei of the token, from `least` to `most`, all in wei.
    error PriceOutOfRange(uint96 pricePerUnit, uint96 least, uint96 most);
    /// @notice A publisher's share may be `maxRoyaltyBps` at most.
    error RoyaltyTooHigh(uint16 royaltyBps, uint16 maxRoyaltyBps);
    /// @notice A name has 1 to `maxLength` bytes.
    error NameLengthOutOfRange(uint256 length, uint256 maxLength);

    /// @notice Publishes a model in the caller's name. May be paused. What is published is fixed, but for the price.
    /// @param manifestDigest the model's id
    /// @param name 1 to 64 bytes
    function publish(
        bytes32 manifestDigest,
        bytes32 shardRoot,
        uint16 blocks,
        uint32 maxUnits,
        uint96 pricePerUnit,
        uint16 royaltyBps,
        Profile profile,
        string calldata name
    ) external;

    /// @notice Sets the price of jobs submitted from now on. By the publisher.
    function setPrice(bytes32 modelId, uint96 pricePerUnit) external;

    /// @notice Refuses new jobs from now on, for ever. By the publisher.
    function retire(bytes32 modelId) external;

    /// @notice What a submission needs, from one storage slot; all zero for an id that was never published.
    function offer(bytes32 modelId)
        external
        view
        returns (uint16 blocks, uint32 maxUnits, uint96 pricePerUnit, uint16 royaltyBps, bool retired, bool tolerant);

    /// @notice All zero for an id that was never published.
    function model(bytes32 modelId) external view returns (Model memory);

    /// @notice Publisher and royalty: what a settlement needs.
    function royaltyOf(bytes32 modelId) external view returns (address publisher, uint16 royaltyBps);

    /// @notice Where its shards' bytes are proved, and how many blocks it has: what a challenge of possession needs.
    function shardsOf(bytes32 modelId) external view returns (bytes32 shardRoot, uint16 blocks);
}
