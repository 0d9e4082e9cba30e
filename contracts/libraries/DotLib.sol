// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title The dot product of two rows of int8, eight products to a multiplication.
library DotLib {
    uint256 internal constant MAX_LENGTH = 1 << 16; // that many products of two bytes stay below 2^32

    /// @notice `Σ left[i] · right[i]`, exact.
    /// @dev Both are of one length, whole words, at most MAX_LENGTH bytes; the caller checks it.
    /// @param left int8 in two's complement, one a byte
    /// @param reversed the right row, last byte first
    function dot(bytes calldata left, bytes calldata reversed) internal pure returns (int256) {
        uint256 products;
        uint256 sums;
        // Every fourth byte of a word, spread over eight lanes of 32 bits. Multiplied as polynomials in 2^32, the top
        // coefficient is a sum of eight products of lanes that lie in opposite order, which is why one row is reversed.
        // Signed bytes are made unsigned by adding 128, which the last line takes out again.
        assembly ("memory-safe") {
            let lanes := 0x000000ff000000ff000000ff000000ff000000ff000000ff000000ff000000ff
            let bias := 0x8080808080808080808080808080808080808080808080808080808080808080
            let at := left.offset
            let end := add(at, left.length)
            let back := add(reversed.offset, left.length)
            for {} lt(at, end) { at := add(at, 32) } {
                back := sub(back, 32)
                let a := xor(calldataload(at), bias)
                let b := xor(calldataload(back), bias)

                let x := and(a, lanes)
                let y := and(shr(24, b), lanes)
                products := add(products, mul(x, y))
                sums := add(sums, add(x, y))

                x := and(shr(8, a), lanes)
                y := and(shr(16, b), lanes)
                products := add(products, mul(x, y))
                sums := add(sums, add(x, y))

                x := and(shr(16, a), lanes)
                y := and(shr(8, b), lanes)
                products := add(products, mul(x, y))
                sums := add(sums, add(x, y))

                x := and(shr(24, a), lanes)
                y := and(b, lanes)
                products := add(products, mul(x, y))
                sums := add(sums, add(x, y))
            }
            // Adds the eight lanes of the sums up in the top one: a multiplication by ones.
            sums := shr(224, mul(sums, 0x0000000100000001000000010000000100000001000000010000000100000001))
            products := shr(224, products)
        }
        // Σ (a+128)(b+128) = Σ ab + 128 · Σ (a+128 + b+128) − 128² · n
        return int256(products) - 128 * int256(sums) + 16_384 * int256(left.length);
    }
}
