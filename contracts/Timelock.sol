// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @title Timelock: the owner of everything that has one, once deployment is over.
/// @notice Who proposes can change parameters, the list of orchestrators, the guardian, and spend the treasury; each such call can
/// be read on the chain for `minDelay` before anyone may execute it. It can stop entries, never exits.
contract Timelock is TimelockController {
    constructor(uint256 minDelay, address[] memory proposers, address[] memory executors, address admin)
        TimelockController(minDelay, proposers, executors, admin)
    {}
}
