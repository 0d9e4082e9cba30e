// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title What a contract implements to hear about its jobs from the ResultInbox.
/// @notice Both are called once at most with success. A call that reverts or runs out of its gas is tried again.
interface IConsumer {
    /// @notice The job is Final, and this is its output.
    /// @param output the agreed tokens, each as unsigned 32-bit little-endian integer
    function onResult(uint256 jobId, bytes calldata output) external;

    /// @notice The job has ended without a result to rely on. What came back of the escrow is at the market.
    function onFailure(uint256 jobId) external;
}
