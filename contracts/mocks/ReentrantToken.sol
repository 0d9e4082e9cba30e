// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";

/// @title For tests: a token that calls somebody whenever it moves, as a token with hooks would.
contract ReentrantToken is ERC20Burnable {
    address public target;
    bytes public data;
    bool public succeeded;

    constructor(address holder, uint256 supply) ERC20("Reentrant", "RE") {
        _mint(holder, supply);
    }

    function callOnTransfer(address target_, bytes calldata data_) external {
        target = target_;
        data = data_;
    }

    /// @notice Calls `to` as the holder of a balance: the token itself may have one.
    function act(address to, bytes calldata what) external {
        (bool done, bytes memory answer) = to.call(what);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (target == address(0)) return;
        (succeeded,) = target.call(data);
    }
}
