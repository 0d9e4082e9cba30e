// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IRandomness} from "../interfaces/IRandomness.sol";

/// @title For tests: reads seeds in transactions, whose chain block is known to the test.
contract SeedProbe {
    event SeedSeen(bytes32 seed);

    IRandomness private immutable _source;

    constructor(IRandomness source) {
        _source = source;
    }

    function read(uint256 requestId) external {
        emit SeedSeen(_source.seedOf(requestId));
    }

    function askTwice() external returns (uint256 first, uint256 second) {
        return (_source.request(), _source.request());
    }
}
