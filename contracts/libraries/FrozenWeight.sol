// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title A number in one word that still knows what it was one and two rounds ago.
/// @notice Rounds only grow. It can be asked for as it stood when the present round began, or the one before.
/// @dev From the lowest, 64 bits each: the value now, its value when the round `changedIn` began, its value when the round before
/// that began, and `changedIn`.
library FrozenWeight {
    /// @notice The word after a change in `round`. `value` stays below 2^64.
    function changed(uint256 word, uint256 value, uint256 round) internal pure returns (uint256) {
        (uint256 before, uint256 earlier, uint256 changedIn) = (uint64(word >> 64), uint64(word >> 128), word >> 192);
        if (changedIn != round) {
            earlier = changedIn + 1 == round ? before : uint64(word);
            before = uint64(word);
        }
        return value | before << 64 | earlier << 128 | round << 192;
    }

    /// @notice The value when `round` began.
    function at(uint256 word, uint256 round) internal pure returns (uint256) {
        uint256 changedIn = word >> 192;
        if (changedIn < round) return uint64(word);
        return uint64(changedIn == round ? word >> 64 : word >> 128);
    }

    /// @notice The value now.
    function current(uint256 word) internal pure returns (uint256) {
        return uint64(word);
    }

    /// @notice Whether it is nothing, and was nothing already in all that can still be asked for in `round`.
    function isForgotten(uint256 word, uint256 round) internal pure returns (bool) {
        return uint64(word) == 0 && (word >> 192) + 2 <= round;
    }
}
