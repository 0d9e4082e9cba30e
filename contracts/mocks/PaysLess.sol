// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IOstrakaToken} from "../interfaces/IOstrakaToken.sol";
import {IPaysOnDemand} from "../interfaces/ITreasury.sol";

/// @title Claims to pay a hundred times what it pays.
contract PaysLess is IPaysOnDemand {
    IOstrakaToken private immutable _token;

    constructor(IOstrakaToken token) {
        _token = token;
    }

    /// @inheritdoc IPaysOnDemand
    function withdraw() external returns (uint256 amount) {
        amount = _token.balanceOf(address(this));
        _token.transfer(msg.sender, amount);
        return amount * 100;
    }
}
