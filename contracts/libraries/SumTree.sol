// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {FrozenWeight} from "./FrozenWeight.sol";

/// @title A Fenwick tree over 4096 leaves that still knows its sums of one and of two rounds ago.
/// @notice Leaves count from 1. Rounds only grow. A sum can be asked for as it stood when the present round began, or the one before.
library SumTree {
    uint256 internal constant LEAVES = 4096;

    /// @dev A node is a FrozenWeight: the sum over the leaves `(i - lowest bit of i, i]`.
    struct Tree {
        uint256[LEAVES + 1] nodes;
    }

    /// @notice Changes a leaf, and all sums that count it, by the same.
    function change(Tree storage tree, uint256 leaf, uint256 less, uint256 more, uint256 round) internal {
        for (uint256 i = leaf; i <= LEAVES; i += i & (~i + 1)) {
            uint256 node = tree.nodes[i];
            tree.nodes[i] = FrozenWeight.changed(node, FrozenWeight.current(node) - less + more, round);
        }
    }

    /// @notice The sum over node `i` when `round` began.
    function sum(Tree storage tree, uint256 i, uint256 round) internal view returns (uint256) {
        return FrozenWeight.at(tree.nodes[i], round);
    }

    /// @notice The leaf that the `ticket`-th unit of weight falls on, counting from 0, when `round` began.
    /// @return leaf from 1
    /// @return start the weight of all leaves before it
    /// @return weight its own
    function find(Tree storage tree, uint256 ticket, uint256 round)
        internal
        view
        returns (uint256 leaf, uint256 start, uint256 weight)
    {
        // The sum behind the last step that was not taken ends with the leaf looked for.
        uint256 end = sum(tree, LEAVES, round);
        // Nothing here can overflow: all weights together stay below 2^61.
        unchecked {
            for (uint256 step = LEAVES / 2; step != 0; step >>= 1) {
                uint256 reach = start + sum(tree, leaf + step, round);
                if (reach <= ticket) (leaf, start) = (leaf + step, reach);
                else end = reach;
            }
            return (leaf + 1, start, end - start);
        }
    }

    /// @notice A single leaf's weight when `round` began.
    function weightOf(Tree storage tree, uint256 leaf, uint256 round) internal view returns (uint256 weight) {
        weight = sum(tree, leaf, round);
        uint256 stop = leaf & (leaf - 1);
        for (uint256 i = leaf - 1; i > stop; i &= i - 1) weight -= sum(tree, i, round);
    }
}
