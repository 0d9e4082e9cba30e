// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {Entries} from "./access/Entries.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";

/// @title See IModelRegistry.
contract ModelRegistry is IModelRegistry, Entries {
    uint16 private constant MAX_BLOCKS = 1024;
    uint16 private constant MAX_ROYALTY_BPS = 1000;
    uint256 private constant MAX_NAME_BYTES = 64;

    uint32 private constant MAX_UNITS = type(uint24).max;
    uint96 private constant GWEI = 1 gwei;
    uint96 private constant MAX_PRICE = uint96(type(uint40).max) * GWEI;
    uint16 private constant ROYALTY_MASK = 0x3fff;
    uint16 private constant RETIRED = 0x8000;
    uint16 private constant TOLERANT = 0x4000;

    /// @dev Two slots; the first is all that submitting, claiming and paying read. `terms` is the royalty in basis points, and
    /// above it two flags.
    struct Entry {
        address publisher;
        uint40 priceGwei;
        uint24 maxUnits;
        uint16 blocks;
        uint16 terms;
        bytes32 shardRoot;
    }

    mapping(bytes32 modelId => Entry) private _models;

    /// @inheritdoc IModelRegistry
    function publish(
        bytes32 manifestDigest,
        bytes32 shardRoot,
        uint16 blocks,
        uint32 maxUnits,
        uint96 pricePerUnit,
        uint16 royaltyBps,
        Profile profile,
        string calldata name
    ) external whenOpen {
        Entry storage entry = _models[manifestDigest];
        if (entry.publisher != address(0)) revert AlreadyPublished(manifestDigest, entry.publisher);
        if (manifestDigest == 0 || shardRoot == 0) revert ZeroDigest();
        if (blocks == 0 || blocks > MAX_BLOCKS) revert BlocksOutOfRange(blocks, MAX_BLOCKS);
        if (maxUnits == 0 || maxUnits > MAX_UNITS) revert MaxUnitsOutOfRange(maxUnits, MAX_UNITS);
        if (royaltyBps > MAX_ROYALTY_BPS) revert RoyaltyTooHigh(royaltyBps, MAX_ROYALTY_BPS);
        if (bytes(name).length == 0 || bytes(name).length > MAX_NAME_BYTES) {
            revert NameLengthOutOfRange(bytes(name).length, MAX_NAME_BYTES);
        }

        _models[manifestDigest] = Entry({
            publisher: msg.sender,
            priceGwei: _gwei(pricePerUnit),
            maxUnits: uint24(maxUnits),
            blocks: blocks,
            terms: royaltyBps | (profile == Profile.Tolerant ? TOLERANT : 0),
            shardRoot: shardRoot
        });
        emit ModelPublished(
            manifestDigest, msg.sender, shardRoot, blocks, maxUnits, pricePerUnit, royaltyBps, profile, name
        );
    }

    /// @inheritdoc IModelRegistry
    function setPrice(bytes32 modelId, uint96 pricePerUnit) external {
        Entry storage entry = _own(modelId);
        uint40 priceGwei = _gwei(pricePerUnit);

        emit ModelPriceChanged(modelId, uint96(entry.priceGwei) * GWEI, pricePerUnit);
        entry.priceGwei = priceGwei;
    }

    /// @inheritdoc IModelRegistry
    function retire(bytes32 modelId) external {
        Entry storage entry = _own(modelId);
        if (entry.terms & RETIRED != 0) revert ModelIsRetired(modelId);

        entry.terms |= RETIRED;
        emit ModelRetired(modelId);
    }

    /// @inheritdoc IModelRegistry
    function offer(bytes32 modelId)
        external
        view
        returns (uint16 blocks, uint32 maxUnits, uint96 pricePerUnit, uint16 royaltyBps, bool retired, bool tolerant)
    {
        Entry storage entry = _models[modelId];
        uint16 terms = entry.terms;
        return (
            entry.blocks,
            entry.maxUnits,
            uint96(entry.priceGwei) * GWEI,
            terms & ROYALTY_MASK,
            terms & RETIRED != 0,
            terms & TOLERANT != 0
        );
    }

    /// @inheritdoc IModelRegistry
    function model(bytes32 modelId) external view returns (Model memory) {
        Entry storage entry = _models[modelId];
        return Model({
            publisher: entry.publisher,
            pricePerUnit: uint96(entry.priceGwei) * GWEI,
            shardRoot: entry.shardRoot,
            blocks: entry.blocks,
            maxUnits: entry.maxUnits,
            royaltyBps: entry.terms & ROYALTY_MASK,
            profile: entry.terms & TOLERANT != 0 ? Profile.Tolerant : Profile.Exact,
            retired: entry.terms & RETIRED != 0
        });
    }

    /// @inheritdoc IModelRegistry
    function royaltyOf(bytes32 modelId) external view returns (address publisher, uint16 royaltyBps) {
        Entry storage entry = _models[modelId];
        return (entry.publisher, entry.terms & ROYALTY_MASK);
    }

    /// @inheritdoc IModelRegistry
    function shardsOf(bytes32 modelId) external view returns (bytes32 shardRoot, uint16 blocks) {
        Entry storage entry = _models[modelId];
        return (entry.shardRoot, entry.blocks);
    }

    function _own(bytes32 modelId) private view returns (Entry storage entry) {
        entry = _models[modelId];
        if (entry.publisher == address(0)) revert UnknownModel(modelId);
        if (msg.sender != entry.publisher) revert NotPublisher(modelId, msg.sender, entry.publisher);
    }

    function _gwei(uint96 pricePerUnit) private pure returns (uint40) {
        if (pricePerUnit == 0 || pricePerUnit > MAX_PRICE || pricePerUnit % GWEI != 0) {
            revert PriceOutOfRange(pricePerUnit, GWEI, MAX_PRICE);
        }
        return uint40(pricePerUnit / GWEI);
    }
}
