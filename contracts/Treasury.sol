// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IOstrakaToken} from "./interfaces/IOstrakaToken.sol";
import {IPaysOnDemand, ITreasury} from "./interfaces/ITreasury.sol";

/// @title See ITreasury.
contract Treasury is ITreasury, Ownable2Step {
    using SafeERC20 for IOstrakaToken;

    /// @inheritdoc ITreasury
    IOstrakaToken public immutable token;

    constructor(IOstrakaToken token_) Ownable(msg.sender) {
        if (address(token_) == address(0)) revert ZeroAddress();
        token = token_;
    }

    /// @inheritdoc ITreasury
    function collect(IPaysOnDemand source) external returns (uint256 amount) {
        // What arrived is counted, not what the source says: anyone may name any source.
        uint256 before = token.balanceOf(address(this));
        source.withdraw();
        amount = token.balanceOf(address(this)) - before;
        emit Collected(address(source), amount);
    }

    /// @inheritdoc ITreasury
    function pay(address to, uint256 amount) external onlyOwner {
        if (to == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        uint256 available = token.balanceOf(address(this));
        if (amount > available) revert InsufficientFunds(amount, available);

        emit Paid(to, amount);
        token.safeTransfer(to, amount);
    }
}
