// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IOstrakaToken} from "./IOstrakaToken.sol";

/// @title Whatever pays on demand: the market, the vouchers, the epochs.
interface IPaysOnDemand {
    /// @notice Pays the caller's balance out.
    function withdraw() external returns (uint256 amount);
}

/// @title Treasury: where protocol fees lie.
/// @notice Its owner is the timelock: what is to be spent can be read on the chain for a delay before it is.
interface ITreasury {
    /// @notice Fees arrived from a contract that held them.
    event Collected(address indexed source, uint256 amount);
    /// @notice The owner spent some.
    event Paid(address indexed to, uint256 amount);

    /// @notice Token and receiver must be given.
    error ZeroAddress();
    /// @notice The amount must be above 0.
    error ZeroAmount();
    /// @notice The treasury has no more than `available`, in wei of the token.
    error InsufficientFunds(uint256 amount, uint256 available);

    /// @notice Fetches what `source` owes the treasury. By anyone.
    function collect(IPaysOnDemand source) external returns (uint256 amount);

    /// @notice Spends. By the owner.
    function pay(address to, uint256 amount) external;

    /// @notice What lies here.
    function token() external view returns (IOstrakaToken);
}
