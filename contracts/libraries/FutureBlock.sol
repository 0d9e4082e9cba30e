// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title A seed from the chain block after a request: fixed by nobody who made the request, forgotten by the chain in time.
library FutureBlock {
    /// @dev The chain keeps the hashes of so many chain blocks.
    uint256 internal constant KEPT = 256;

    /// @notice Whether the chain block after `requestBlock` is known already.
    function isReady(uint256 requestBlock) internal view returns (bool) {
        return block.number > requestBlock + 1;
    }

    /// @notice Whether it is forgotten already.
    function isExpired(uint256 requestBlock) internal view returns (bool) {
        return block.number > requestBlock + 1 + KEPT;
    }

    /// @notice The seed of request `id`. Only while it is ready and not expired.
    function seed(uint256 requestBlock, uint256 id) internal view returns (bytes32) {
        return keccak256(abi.encode(blockhash(requestBlock + 1), id));
    }
}
