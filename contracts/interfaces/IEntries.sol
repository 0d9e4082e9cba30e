// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title Entries: what may be paused.
/// @notice Only ways in can be paused: staking, registering, publishing, claiming, submitting. Ways out never can.
interface IEntries {
    /// @notice Another account may pause from now on; the zero address: nobody but the owner.
    event GuardianChanged(address indexed previous, address indexed current);
    /// @notice The entries were closed, or opened again.
    event PauseChanged(bool paused);

    /// @notice Nothing new comes in until the owner opens the entries; all ways out work.
    error EntriesPaused();
    /// @notice Only the guardian or the owner may pause.
    error NotGuardian(address caller, address guardian);

    /// @notice Names who may pause without the owner's delay. By the owner; the zero address names nobody.
    function setGuardian(address guardian) external;

    /// @notice Closes the entries at once. By the guardian or the owner.
    function pause() external;

    /// @notice Opens them again. By the owner.
    function unpause() external;

    /// @notice Who may pause beside the owner; the zero address for nobody.
    function guardian() external view returns (address);

    /// @notice Whether the entries are closed.
    function paused() external view returns (bool);
}
