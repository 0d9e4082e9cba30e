// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IRandomness} from "./IRandomness.sol";
import {IStakeVault} from "./IStakeVault.sol";

/// @title Sortition: seats drawn by lot, by stake.
/// @notice Operators join with their free stake as weight, in whole tokens. A draw gives distinct operators, each next one with a
/// chance in proportion to its weight among those not drawn yet. Time is divided into rounds of `roundBlocks` chain blocks. A draw
/// counts the weights as they stood when the round of its seed block began: what joins, changes or leaves from then on counts from the
/// next round, so that whoever has seen a seed can change nothing about its draw, and nobody can hold a draw up by changing.
interface ISortition {
    /// @notice The operator can be drawn from the next round on.
    /// @param weight whole tokens
    event OperatorJoined(address indexed operator, uint256 slot, uint256 weight);
    /// @notice Draws count the new weight, in whole tokens, from the next round on.
    event WeightChanged(address indexed operator, uint256 previous, uint256 current);
    /// @notice The operator cannot be drawn from the next round on.
    event OperatorLeft(address indexed operator, uint256 slot);

    /// @notice A round must be as long as a seed lives, or a change could reach a draw whose seed is known.
    error RoundTooShort(uint256 roundBlocks, uint256 minRoundBlocks);
    /// @notice The least weight must be above 0.
    error ZeroMinWeight();
    /// @notice Vault and randomness must be given.
    error ZeroAddress();
    /// @notice The operator's free stake, in whole tokens, is below `minWeight`; stake more.
    error WeightTooLow(address operator, uint256 weight, uint256 minWeight);
    /// @notice The operator is in; `refresh` sets its weight.
    error AlreadyJoined(address operator, uint256 slot);
    /// @notice The operator is not in.
    error NotJoined(address operator);
    /// @notice Every slot is held; `refresh` puts out whoever has less than `minWeight`.
    error AllSlotsTaken(uint256 slots);

    /// @notice Lets the caller be drawn from the next round on, with its free stake as weight. By an operator.
    function join() external;

    /// @notice Sets an operator's weight to what its free stake is now; below `minWeight` it leaves. By anyone.
    function refresh(address operator) external;

    /// @notice Ends it from the next round on. By an operator.
    function leave() external;

    /// @notice Up to `seats` distinct operators, none of them in `excluded`, in the order in which they were drawn; fewer where
    /// there are no more. Reverts as `IRandomness.seedOf` does.
    /// @dev The n-th throw is `keccak256(abi.encode(seed, n)) mod` the weight not drawn yet, counted through the slots in order.
    function draw(uint256 requestId, uint256 seats, address[] calldata excluded) external view returns (address[] memory);

    /// @notice What a draw would count for the operator if its seed block were the next chain block of this round; 0 for none.
    function weightOf(address operator) external view returns (uint256);

    /// @notice The weight as last set, in whole tokens: what draws count from the next round on; 0 for an operator that is not in.
    function nextWeightOf(address operator) external view returns (uint256);

    /// @notice Counts from 1; 0 for an operator that is not in.
    function slotOf(address operator) external view returns (uint256);

    /// @notice The sum of all weights, as `weightOf` counts them.
    function totalWeight() external view returns (uint256);

    /// @notice Chain blocks in a round; no less than a seed lives.
    function roundBlocks() external view returns (uint256);

    /// @notice The least weight, in whole tokens, with which an operator may be drawn.
    function minWeight() external view returns (uint256);

    /// @notice Where the seeds of draws come from.
    function randomness() external view returns (IRandomness);

    /// @notice Whose free stake is the weight.
    function vault() external view returns (IStakeVault);
}
