// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

import {IEntries} from "../interfaces/IEntries.sol";

/// @title See IEntries. The owner is the timelock once deployment is over.
abstract contract Entries is IEntries, Ownable2Step {
    /// @inheritdoc IEntries
    bool public paused;
    /// @inheritdoc IEntries
    address public guardian;

    modifier whenOpen() {
        if (paused) revert EntriesPaused();
        _;
    }

    constructor() Ownable(msg.sender) {}

    /// @inheritdoc IEntries
    function setGuardian(address guardian_) external onlyOwner {
        emit GuardianChanged(guardian, guardian_);
        guardian = guardian_;
    }

    /// @inheritdoc IEntries
    function pause() external {
        if (msg.sender != guardian && msg.sender != owner()) revert NotGuardian(msg.sender, guardian);
        paused = true;
        emit PauseChanged(true);
    }

    /// @inheritdoc IEntries
    function unpause() external onlyOwner {
        paused = false;
        emit PauseChanged(false);
    }
}
