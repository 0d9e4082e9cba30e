// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {DotLib} from "../libraries/DotLib.sol";

/// @title For tests: DotLib, callable.
contract DotHarness {
    function dot(bytes calldata left, bytes calldata reversed) external pure returns (int256) {
        return DotLib.dot(left, reversed);
    }
}
