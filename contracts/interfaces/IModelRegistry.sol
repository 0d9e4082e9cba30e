// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title ModelRegistry: which models there are, and what they cost.
/// @notice A model's id is the SHA-256 of its manifest, so whoever knows the id can fetch the manifest by content.
/// The name stands in the event only.
interface IModelRegistry {
    /// @param pricePerUnit wei of the token for one position through all blocks, one replica
    /// @param shardRoot Merkle root over the digests of the block files
    /// @param blocks number of blocks, B, at most 1024: a pinpoint carries two digests for each
    /// @param maxUnits most positions one job may process
    /// @param royaltyBps the publisher's share of every price, at most 1000
    /// @param retired whether new jobs are refused
    struct Model {
        address publisher;
        uint96 pricePerUnit;
        bytes32 shardRoot;
        uint16 blocks;
        uint32 maxUnits;
        uint16 royaltyBps;
        bool retired;
    }

    event ModelPublished(
        bytes32 indexed modelId,
        address indexed publisher,
        bytes32 shardRoot,
        uint16 blocks,
        uint32 maxUnits,
        uint96 pricePerUnit,
        uint16 royaltyBps,
        string name
    );
    event ModelPriceChanged(bytes32 indexed modelId, uint96 previous, uint96 current);
    event ModelRetired(bytes32 indexed modelId);

    error AlreadyPublished(bytes32 modelId, address publisher);
    error UnknownModel(bytes32 modelId);
    error NotPublisher(bytes32 modelId, address caller, address publisher);
    error ModelIsRetired(bytes32 modelId);
    error ZeroDigest();
    error BlocksOutOfRange(uint16 blocks, uint16 maxBlocks);
    error ZeroUnits();
    error ZeroPrice();
    error RoyaltyTooHigh(uint16 royaltyBps, uint16 maxRoyaltyBps);
    error NameLengthOutOfRange(uint256 length, uint256 maxLength);

    /// @notice Publishes a model in the caller's name. What is published is fixed, but for the price.
    /// @param manifestDigest the model's id
    /// @param name 1 to 64 bytes
    function publish(
        bytes32 manifestDigest,
        bytes32 shardRoot,
        uint16 blocks,
        uint32 maxUnits,
        uint96 pricePerUnit,
        uint16 royaltyBps,
        string calldata name
    ) external;

    /// @notice Sets the price of jobs submitted from now on. By the publisher.
    function setPrice(bytes32 modelId, uint96 pricePerUnit) external;

    /// @notice Refuses new jobs from now on, for ever. By the publisher.
    function retire(bytes32 modelId) external;

    /// @notice All zero for an id that was never published.
    function model(bytes32 modelId) external view returns (Model memory);

    /// @notice Publisher and royalty: what a settlement needs.
    function royaltyOf(bytes32 modelId) external view returns (address publisher, uint16 royaltyBps);

    function modelCount() external view returns (uint256);
}
