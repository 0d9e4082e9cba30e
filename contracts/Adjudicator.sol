// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {Cases} from "./adjudicator/Cases.sol";
import {Committee} from "./adjudicator/Committee.sol";
import {IJobMarket} from "./interfaces/IJobMarket.sol";
import {ISortition} from "./interfaces/ISortition.sol";

/// @title See ICases, ILeaves and ICommittee.
contract Adjudicator is Committee {
    constructor(IJobMarket market_, ISortition sortition_, Rules memory rules_) Cases(market_, sortition_, rules_) {}
}
