// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IModelRegistry} from "./interfaces/IModelRegistry.sol";

/// @title See IModelRegistry.
contract ModelRegistry is IModelRegistry {
    uint16 private constant MAX_BLOCKS = 1024;
    uint16 private constant MAX_ROYALTY_BPS = 1000;
    uint256 private constant MAX_NAME_BYTES = 64;

    /// @inheritdoc IModelRegistry
    uint256 public modelCount;

    mapping(bytes32 modelId => Model) private _models;

    /// @inheritdoc IModelRegistry
    function publish(
        bytes32 manifestDigest,
        bytes32 shardRoot,
        uint16 blocks,
        uint32 maxUnits,
        uint96 pricePerUnit,
        uint16 royaltyBps,
        string calldata name
    ) external {
        Model storage entry = _models[manifestDigest];
        if (entry.publisher != address(0)) revert AlreadyPublished(manifestDigest, entry.publisher);
        if (manifestDigest == 0 || shardRoot == 0) revert ZeroDigest();
        if (blocks == 0 || blocks > MAX_BLOCKS) revert BlocksOutOfRange(blocks, MAX_BLOCKS);
        if (maxUnits == 0) revert ZeroUnits();
        if (pricePerUnit == 0) revert ZeroPrice();
        if (royaltyBps > MAX_ROYALTY_BPS) revert RoyaltyTooHigh(royaltyBps, MAX_ROYALTY_BPS);
        if (bytes(name).length == 0 || bytes(name).length > MAX_NAME_BYTES) {
            revert NameLengthOutOfRange(bytes(name).length, MAX_NAME_BYTES);
        }

        _models[manifestDigest] = Model({
            publisher: msg.sender,
            pricePerUnit: pricePerUnit,
            shardRoot: shardRoot,
            blocks: blocks,
            maxUnits: maxUnits,
            royaltyBps: royaltyBps,
            retired: false
        });
        ++modelCount;
        emit ModelPublished(manifestDigest, msg.sender, shardRoot, blocks, maxUnits, pricePerUnit, royaltyBps, name);
    }

    /// @inheritdoc IModelRegistry
    function setPrice(bytes32 modelId, uint96 pricePerUnit) external {
        Model storage entry = _own(modelId);
        if (pricePerUnit == 0) revert ZeroPrice();

        emit ModelPriceChanged(modelId, entry.pricePerUnit, pricePerUnit);
        entry.pricePerUnit = pricePerUnit;
    }

    /// @inheritdoc IModelRegistry
    function retire(bytes32 modelId) external {
        Model storage entry = _own(modelId);
        if (entry.retired) revert ModelIsRetired(modelId);

        entry.retired = true;
        emit ModelRetired(modelId);
    }

    /// @inheritdoc IModelRegistry
    function model(bytes32 modelId) external view returns (Model memory) {
        return _models[modelId];
    }

    /// @inheritdoc IModelRegistry
    function royaltyOf(bytes32 modelId) external view returns (address publisher, uint16 royaltyBps) {
        Model storage entry = _models[modelId];
        return (entry.publisher, entry.royaltyBps);
    }

    function _own(bytes32 modelId) private view returns (Model storage entry) {
        entry = _models[modelId];
        if (entry.publisher == address(0)) revert UnknownModel(modelId);
        if (msg.sender != entry.publisher) revert NotPublisher(modelId, msg.sender, entry.publisher);
    }
}
