// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

import {IEntries} from "../interfaces/IEntries.sol";

/// @title See IEntries. The owner is the timelock once deployment is over.
abstract contract Entries is IEntries, Ownable2Step {
    /// @inheritdoc IEntries
    address public guardian;
    /// @dev Last, so that a counter which the contract declares first shares its slot: entries read and write that anyway.
    bool private _closed;

    modifier whenOpen() {
        if (paused()) revert EntriesPaused();
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
        _setPaused(true);
        emit PauseChanged(true);
    }

    /// @inheritdoc IEntries
    function unpause() external onlyOwner {
        _setPaused(false);
        emit PauseChanged(false);
    }

    /// @inheritdoc IEntries
    function paused() public view virtual returns (bool) {
        return _closed;
    }

    /// @dev Where the flag is kept is for the contract to say.
    function _setPaused(bool paused_) internal virtual {
        _closed = paused_;
    }
}
