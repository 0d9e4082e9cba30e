// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title OSTR, for chains of one's own. The other contracts take any ERC-20 that can be burnt and has no transfer fee.
contract OstrakaToken is ERC20, ERC20Burnable, ERC20Permit {
    /// @param holder who gets the whole supply
    /// @param supply in wei of the token (18 decimals)
    constructor(address holder, uint256 supply) ERC20("Ostraka", "OSTR") ERC20Permit("Ostraka") {
        _mint(holder, supply);
    }
}
