// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IRandomness} from "./interfaces/IRandomness.sol";

/// @title See IRandomness.
contract BlockRandomness is IRandomness {
    uint256 private constant MAX_DELAY = 64;
    uint256 private constant MAX_LIFETIME = 256; // the EVM knows no older hashes

    /// @inheritdoc IRandomness
    uint256 public immutable delayBlocks;
    /// @inheritdoc IRandomness
    uint256 public immutable lifetimeBlocks;

    uint256 private _requestCount;
    mapping(uint256 requestId => uint256) private _seedBlocks;

    constructor(uint256 delayBlocks_, uint256 lifetimeBlocks_) {
        if (delayBlocks_ == 0 || delayBlocks_ > MAX_DELAY) revert DelayOutOfRange(delayBlocks_, 1, MAX_DELAY);
        if (lifetimeBlocks_ == 0 || lifetimeBlocks_ > MAX_LIFETIME) {
            revert LifetimeOutOfRange(lifetimeBlocks_, 1, MAX_LIFETIME);
        }
        delayBlocks = delayBlocks_;
        lifetimeBlocks = lifetimeBlocks_;
    }

    /// @inheritdoc IRandomness
    function request() external returns (uint256 requestId) {
        requestId = ++_requestCount;
        uint256 seedBlock = block.number + delayBlocks;
        _seedBlocks[requestId] = seedBlock;
        emit SeedRequested(requestId, seedBlock);
    }

    /// @inheritdoc IRandomness
    function renew(uint256 requestId) external {
        uint256 last = seedBlockOf(requestId) + lifetimeBlocks;
        // While the seed can be read, or is still to come, asking again would be a second throw of the dice.
        if (block.number <= last) revert SeedStillGood(requestId, last, block.number);

        uint256 seedBlock = block.number + delayBlocks;
        _seedBlocks[requestId] = seedBlock;
        emit SeedRenewed(requestId, seedBlock);
    }

    /// @inheritdoc IRandomness
    function seedOf(uint256 requestId) external view returns (bytes32) {
        uint256 seedBlock = seedBlockOf(requestId);
        if (block.number <= seedBlock) revert SeedNotReady(requestId, seedBlock, block.number);
        uint256 last = seedBlock + lifetimeBlocks;
        if (block.number > last) revert SeedExpired(requestId, last, block.number);
        return keccak256(abi.encode(address(this), requestId, blockhash(seedBlock)));
    }

    /// @inheritdoc IRandomness
    function seedBlockOf(uint256 requestId) public view returns (uint256 seedBlock) {
        seedBlock = _seedBlocks[requestId];
        if (seedBlock == 0) revert UnknownRequest(requestId);
    }
}
