// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title Seeds that nobody knew when they were asked for.
/// @notice A request names a chain block to come; its seed is that chain block's hash, mixed with the request's id and this
/// contract. A seed can be read for `lifetimeBlocks` chain blocks and no longer: who needs it draws with it in that time. Where
/// nobody did, anyone renews the request. Whoever makes the chain block can throw it away and so draw once more, at the price
/// of its reward: do not decide on more than that with one seed.
interface IRandomness {
    /// @notice A seed is on its way.
    /// @param seedBlock number of the chain block whose hash is the seed
    event SeedRequested(uint256 indexed requestId, uint256 seedBlock);
    /// @notice Nobody used the seed in time; another is on its way under the same id.
    /// @param seedBlock number of the chain block whose hash is the seed now
    event SeedRenewed(uint256 indexed requestId, uint256 seedBlock);

    /// @notice The delay must be `least` to `most` chain blocks.
    error DelayOutOfRange(uint256 delayBlocks, uint256 least, uint256 most);
    /// @notice The lifetime must be `least` to `most` chain blocks.
    error LifetimeOutOfRange(uint256 lifetimeBlocks, uint256 least, uint256 most);
    /// @notice No request has this id.
    error UnknownRequest(uint256 requestId);
    /// @notice The seed can be read in chain blocks after `seedBlock`.
    error SeedNotReady(uint256 requestId, uint256 seedBlock, uint256 nowBlock);
    /// @notice The seed could be read until chain block `lastBlock`; `renew` asks for another.
    error SeedExpired(uint256 requestId, uint256 lastBlock, uint256 nowBlock);
    /// @notice The seed is to come or can be read until chain block `lastBlock`: asking anew would be a second throw.
    error SeedStillGood(uint256 requestId, uint256 lastBlock, uint256 nowBlock);

    /// @notice Asks for a seed. By anyone; never reverts.
    /// @return requestId counts from 1
    function request() external returns (uint256 requestId);

    /// @notice Asks once more under the same id, when the seed can no longer be read. By anyone.
    function renew(uint256 requestId) external;

    /// @notice The seed: from the chain block after `seedBlockOf(requestId)` on, for `lifetimeBlocks` chain blocks.
    function seedOf(uint256 requestId) external view returns (bytes32);

    /// @notice Number of the chain block whose hash the request waits for; never one at or before the request.
    function seedBlockOf(uint256 requestId) external view returns (uint256);

    /// @notice Chain blocks from a request to its seed block; 1 to 64.
    function delayBlocks() external view returns (uint256);

    /// @notice How many chain blocks after the seed block see the seed; 1 to 256.
    function lifetimeBlocks() external view returns (uint256);
}
