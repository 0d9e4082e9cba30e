// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IRandomness} from "./interfaces/IRandomness.sol";
import {ISortition} from "./interfaces/ISortition.sol";
import {IStakeVault} from "./interfaces/IStakeVault.sol";
import {SumTree} from "./libraries/SumTree.sol";

/// @title See ISortition.
contract Sortition is ISortition {
    using SumTree for SumTree.Tree;

    uint256 private constant TOKEN = 1e18;
    uint256 private constant MAX_WEIGHT = type(uint48).max; // so that 4096 of them fit a sum of 64 bits

    /// @dev Which leaf was left when.
    struct Vacancy {
        uint64 slot;
        uint64 round;
    }

    struct Seat {
        uint64 slot;
        uint64 weight;
    }

    /// @dev A part of the weights that is drawn already.
    struct Span {
        uint256 start;
        uint256 weight;
    }

    /// @inheritdoc ISortition
    IStakeVault public immutable vault;
    /// @inheritdoc ISortition
    IRandomness public immutable randomness;
    /// @inheritdoc ISortition
    uint256 public immutable roundBlocks;
    /// @inheritdoc ISortition
    uint256 public immutable minWeight;

    SumTree.Tree private _tree;
    mapping(uint256 slot => address) private _operators;
    mapping(address operator => Seat) private _seats;
    uint256 internal _slotCount;
    uint256 private _oldestVacancy;
    Vacancy[] private _vacancies;

    constructor(IStakeVault vault_, IRandomness randomness_, uint256 roundBlocks_, uint256 minWeight_) {
        if (address(vault_) == address(0) || address(randomness_) == address(0)) revert ZeroAddress();
        // A seed is drawn with in its own round or the next: the tree remembers no more than these two.
        uint256 least = randomness_.lifetimeBlocks();
        if (roundBlocks_ < least) revert RoundTooShort(roundBlocks_, least);
        if (minWeight_ == 0) revert ZeroMinWeight();
        vault = vault_;
        randomness = randomness_;
        roundBlocks = roundBlocks_;
        minWeight = minWeight_;
    }

    /// @inheritdoc ISortition
    function join() external {
        _join(msg.sender);
    }

    /// @inheritdoc ISortition
    function refresh(address operator) external {
        Seat memory seat = _seatOf(operator);
        uint256 weight = _weigh(operator);
        if (weight < minWeight) return _leave(operator, seat);

        _seats[operator].weight = uint64(weight);
        _tree.change(seat.slot, seat.weight, weight, _round(block.number));
        emit WeightChanged(operator, seat.weight, weight);
    }

    /// @inheritdoc ISortition
    function leave() external {
        _leave(msg.sender, _seatOf(msg.sender));
    }

    /// @inheritdoc ISortition
    function draw(uint256 requestId, uint256 seats, address[] calldata excluded)
        external
        view
        returns (address[] memory drawn)
    {
        bytes32 seed = randomness.seedOf(requestId);
        uint256 round = _round(randomness.seedBlockOf(requestId));
        uint256 left = _tree.sum(SumTree.LEAVES, round);
        drawn = new address[](seats);
        Span[] memory spans = new Span[](seats + excluded.length);
        uint256 count;
        // Who is excluded is drawn and passed over: it is the same as a draw without it, and costs only where it comes up.
        for (uint256 thrown = 0; count < seats && left != 0; ++thrown) {
            uint256 ticket = uint256(keccak256(abi.encode(seed, thrown))) % left;
            (uint256 slot, uint256 start, uint256 weight) = _tree.find(_skip(spans, thrown, ticket), round);
            left -= weight;
            _insert(spans, thrown, Span(start, weight));
            address operator = _operators[slot];
            if (!_contains(excluded, operator)) drawn[count++] = operator;
        }
        assembly ("memory-safe") {
            mstore(drawn, count)
        }
    }

    /// @inheritdoc ISortition
    function weightOf(address operator) external view returns (uint256) {
        uint256 slot = _seats[operator].slot;
        return slot == 0 ? 0 : _tree.weightOf(slot, _round(block.number));
    }

    /// @inheritdoc ISortition
    function nextWeightOf(address operator) external view returns (uint256) {
        return _seats[operator].weight;
    }

    /// @inheritdoc ISortition
    function slotOf(address operator) external view returns (uint256) {
        return _seats[operator].slot;
    }

    /// @inheritdoc ISortition
    function totalWeight() external view returns (uint256) {
        return _tree.sum(SumTree.LEAVES, _round(block.number));
    }

    function _join(address operator) internal {
        uint256 slot = _seats[operator].slot;
        if (slot != 0) revert AlreadyJoined(operator, slot);
        uint256 weight = _weigh(operator);
        if (weight < minWeight) revert WeightTooLow(operator, weight, minWeight);

        slot = _takeSlot();
        _operators[slot] = operator;
        _seats[operator] = Seat(uint64(slot), uint64(weight));
        _tree.change(slot, 0, weight, _round(block.number));
        emit OperatorJoined(operator, slot, weight);
    }

    function _leave(address operator, Seat memory seat) internal {
        uint256 round = _round(block.number);
        delete _seats[operator];
        // The slot keeps its operator: a draw of this round or the last may still name it.
        _vacancies.push(Vacancy(seat.slot, uint64(round)));
        _tree.change(seat.slot, seat.weight, 0, round);
        emit OperatorLeft(operator, seat.slot);
    }

    function _takeSlot() private returns (uint256) {
        if (_oldestVacancy < _vacancies.length) {
            Vacancy memory oldest = _vacancies[_oldestVacancy];
            // Two rounds on no draw counts the weight of who left any more.
            if (oldest.round + 2 <= _round(block.number)) {
                delete _vacancies[_oldestVacancy++];
                return oldest.slot;
            }
        }
        if (_slotCount == SumTree.LEAVES) revert AllSlotsTaken(SumTree.LEAVES);
        return ++_slotCount;
    }

    function _seatOf(address operator) internal view returns (Seat memory seat) {
        seat = _seats[operator];
        if (seat.slot == 0) revert NotJoined(operator);
    }

    function _weigh(address operator) private view returns (uint256) {
        uint256 weight = vault.free(operator) / TOKEN;
        return weight < MAX_WEIGHT ? weight : MAX_WEIGHT;
    }

    /// @dev Counts from 1, so that a tree that never changed has changed before every round.
    function _round(uint256 blockNumber) private view returns (uint256) {
        return blockNumber / roundBlocks + 1;
    }

    /// @dev A ticket among the weight that is left, as a ticket among all: past every span that begins at or before it.
    function _skip(Span[] memory spans, uint256 count, uint256 ticket) private pure returns (uint256) {
        for (uint256 i = 0; i < count && spans[i].start <= ticket; ++i) ticket += spans[i].weight;
        return ticket;
    }

    /// @dev Keeps the spans in order of their start.
    function _insert(Span[] memory spans, uint256 count, Span memory span) private pure {
        uint256 i = count;
        for (; i != 0 && spans[i - 1].start > span.start; --i) spans[i] = spans[i - 1];
        spans[i] = span;
    }

    function _contains(address[] calldata list, address one) private pure returns (bool) {
        for (uint256 i = 0; i < list.length; ++i) {
            if (list[i] == one) return true;
        }
        return false;
    }
}
