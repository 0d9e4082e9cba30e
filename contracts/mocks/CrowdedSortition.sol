// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {Sortition} from "../Sortition.sol";
import {IRandomness} from "../interfaces/IRandomness.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {SumTree} from "../libraries/SumTree.sol";

/// @title For tests: stake without tokens, of as many operators as one likes.
contract PaperVault {
    mapping(address operator => uint256) public free;

    function set(address[] calldata operators, uint256[] calldata amounts) external {
        for (uint256 i = 0; i < operators.length; ++i) free[operators[i]] = amounts[i];
    }
}

/// @title For tests: operators join in crowds, and a draw is a transaction whose gas can be read.
contract CrowdedSortition is Sortition {
    constructor(PaperVault vault_, IRandomness randomness_, uint256 roundBlocks_, uint256 minWeight_)
        Sortition(IStakeVault(address(vault_)), randomness_, roundBlocks_, minWeight_)
    {}

    function crowd(address[] calldata operators) external {
        for (uint256 i = 0; i < operators.length; ++i) _join(operators[i]);
    }

    function leaveAs(address operator) external {
        _leave(operator, _seatOf(operator));
    }

    function pretendFull() external {
        _slotCount = SumTree.LEAVES;
    }

    /// @notice Costs a draw's gas and a transaction's.
    function drawAndForget(uint256 requestId, uint256 seats, address[] calldata excluded) external {
        this.draw(requestId, seats, excluded);
    }
}
