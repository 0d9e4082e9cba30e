// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title Entries: what may be paused.
/// @notice Only ways in can be paused: staking, registering, publishing, claiming, submitting. Ways out never can.
interface IEntries {
    event GuardianChanged(address indexed previous, address indexed current);
    event PauseChanged(bool paused);

    error EntriesPaused();
    error NotGuardian(address caller, address guardian);

    /// @notice Names who may pause without the owner's delay. By the owner; the zero address names nobody.
    function setGuardian(address guardian) external;

    /// @notice Closes the entries at once. By the guardian or the owner.
    function pause() external;

    /// @notice Opens them again. By the owner.
    function unpause() external;

    function guardian() external view returns (address);

    function paused() external view returns (bool);
}
