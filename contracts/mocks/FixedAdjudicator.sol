// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IAdjudicator} from "../interfaces/IAdjudicator.sol";
import {IDisputeCourt} from "../interfaces/IDisputeCourt.sol";

/// @title For tests: an adjudicator that remembers the last question and says what it is told to.
contract FixedAdjudicator is IAdjudicator {
    uint256 public disputeId;
    uint256 public deadline;
    uint256 public windowSeconds;
    bool private _onlyOne;
    Question private _question;

    function judge(uint256 disputeId_, Question calldata question_, uint256 deadline_) external {
        (disputeId, deadline, _question) = (disputeId_, deadline_, question_);
    }

    function answer(IDisputeCourt court, uint256 disputeId_, Verdict verdict) external {
        court.rule(disputeId_, verdict);
    }

    function setWindow(uint256 seconds_) external {
        windowSeconds = seconds_;
    }

    function blameOnlyOne() external {
        _onlyOne = true;
    }

    function blamesRow(uint256) external view returns (bool) {
        return !_onlyOne;
    }

    function question() external view returns (Question memory) {
        return _question;
    }
}
