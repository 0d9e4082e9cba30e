// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {ConsumerBase} from "../consumer/ConsumerBase.sol";
import {IJobs} from "../interfaces/IJobs.sol";
import {IResultInbox} from "../interfaces/IResultInbox.sol";

/// @title For tests: a consumer whose callbacks do whatever harm they can.
contract UnrulyConsumer is ConsumerBase {
    enum Mood {
        Obedient,
        Reverting,
        Bombing,
        Looping,
        Calling,
        Invalid
    }

    Mood public mood;
    bytes public calling;
    bool public called;
    bytes public answer;

    uint256 public results;
    uint256 public failures;
    uint256 public gasSeen;
    bytes public lastOutput;

    constructor(IResultInbox inbox_) ConsumerBase(inbox_) {}

    function behave(Mood mood_, bytes calldata calling_) external {
        mood = mood_;
        calling = calling_;
    }

    function ask(IJobs.SubmitRequest calldata request, uint32 callbackGas) external returns (uint256) {
        return _ask(request, callbackGas);
    }

    /// @notice Acts towards anybody as this contract.
    function act(address to, bytes calldata what) external {
        (bool done, bytes memory said) = to.call(what);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(said, 32), mload(said))
            }
        }
    }

    function collect() external returns (uint256) {
        return _collect();
    }

    function tokenAt(bytes calldata output, uint256 index) external pure returns (uint32) {
        return _tokenAt(output, index);
    }

    function _onResult(uint256, bytes calldata output) internal override {
        gasSeen = gasleft();
        _act();
        ++results;
        lastOutput = output;
    }

    function _onFailure(uint256) internal override {
        gasSeen = gasleft();
        _act();
        ++failures;
    }

    function _act() private {
        if (mood == Mood.Reverting) revert("no");
        if (mood == Mood.Calling) (called, answer) = address(inbox).call(calling);
        if (mood == Mood.Invalid) assert(false);
        while (mood == Mood.Looping) {}
        if (mood == Mood.Bombing) {
            assembly {
                return(0, 800000)
            }
        }
    }
}
