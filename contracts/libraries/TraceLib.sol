// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title Hashes over results and traces: docs/protocol.md §3, §4 and §7.
library TraceLib {
    /// @notice `sha256(abi.encodePacked(units, outputDigest, traceRoot))`: what replicas vote with.
    function resultHash(uint32 units, bytes32 outputDigest, bytes32 traceRoot) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(units, outputDigest, traceRoot));
    }

    /// @notice Digest of the tokens that a job made.
    /// @param output the tokens, each as unsigned 32-bit little-endian integer
    function digestOfTokens(bytes calldata output) internal pure returns (bytes32) {
        uint256 count = output.length / 4;
        uint256 littleEndian = (count & 0xff) << 24 | (count >> 8 & 0xff) << 16 | (count >> 16 & 0xff) << 8 | count >> 24;
        return sha256(abi.encodePacked("ostraka/output/1", uint32(littleEndian), output));
    }

    /// @notice `h[p]`: one position, chained to all before it.
    function link(bytes32 previous, bytes32[] calldata digests) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(previous, digests));
    }

    /// @notice Levels above the leaves of a tree of `count` values; `count` is at least 1.
    function depth(uint32 count) internal pure returns (uint256 levels) {
        for (uint256 last = count - 1; last != 0; last >>= 1) ++levels;
    }

    /// @notice Root of the tree in which `value` is at `index` beside the siblings in `proof`, from the leaf up.
    /// Leaves and nodes are hashed under different prefixes, so a node never passes as a leaf.
    function root(bytes32 value, uint32 index, bytes32[] calldata proof) internal view returns (bytes32 digest) {
        digest = sha256(abi.encodePacked(bytes1(0x00), value));
        // As sha256(abi.encodePacked(bytes1(0x01), left, right)), always in the same 65 bytes of memory that is nobody's.
        bool done = true;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore8(free, 0x01)
            let left := add(free, 1)
            let right := add(free, 33)
            let sibling := proof.offset
            for { let end := add(sibling, shl(5, proof.length)) } lt(sibling, end) { sibling := add(sibling, 32) } {
                switch and(index, 1)
                case 1 {
                    mstore(left, calldataload(sibling))
                    mstore(right, digest)
                }
                default {
                    mstore(left, digest)
                    mstore(right, calldataload(sibling))
                }
                index := shr(1, index)
                done := and(done, and(staticcall(gas(), 2, free, 65, 0, 32), eq(returndatasize(), 32)))
                digest := mload(0)
            }
        }
        // The precompile fails only for want of gas.
        assert(done);
    }

    /// @notice The first border at which two rows of the same length differ; their length where they are equal.
    function firstDifference(bytes32[] calldata left, bytes32[] calldata right) internal pure returns (uint256 border) {
        while (border < left.length && left[border] == right[border]) ++border;
    }
}
