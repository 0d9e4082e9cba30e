// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title What the other contracts need of the token: ERC-20, and a way to destroy what is slashed.
interface IOstrakaToken is IERC20 {
    /// @notice Destroys `amount` of the caller's tokens.
    function burn(uint256 amount) external;
}
