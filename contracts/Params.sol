// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

import {IParams} from "./interfaces/IParams.sol";
import {PayoutLib} from "./libraries/PayoutLib.sol";

/// @title See IParams.
contract Params is IParams, Ownable2Step {
    uint256 private constant MAX_ROYALTY_BPS = 1000;
    uint16 private constant MAX_ORCHESTRATOR_FEE_BPS = 300;
    uint256 private constant MAX_CHALLENGER_BPS = 3000; // more would make slashing one's own node a cheap way out

    /// @dev In one slot with the number of the set in force: what every submission reads of it.
    struct Terms {
        uint8 epoch;
        uint8 lockMultiple;
        uint32 minWindowSeconds;
        uint32 maxWindowSeconds;
        uint32 revealWindowSeconds;
    }

    Terms private _terms;
    mapping(uint8 epoch => Set) private _sets;

    constructor(Set memory first) Ownable(msg.sender) {
        _change(first);
    }

    /// @inheritdoc IParams
    function change(Set calldata set) external onlyOwner {
        _change(set);
    }

    /// @inheritdoc IParams
    function terms()
        external
        view
        returns (
            uint8 epoch,
            uint8 lockMultiple,
            uint32 minWindowSeconds,
            uint32 maxWindowSeconds,
            uint32 revealWindowSeconds
        )
    {
        Terms memory now_ = _terms;
        return (
            now_.epoch, now_.lockMultiple, now_.minWindowSeconds, now_.maxWindowSeconds, now_.revealWindowSeconds
        );
    }

    /// @inheritdoc IParams
    function fees(uint8 epoch) external view returns (uint16 protocolFeeBps, uint16 orchestratorFeeBps) {
        Set storage set = _sets[epoch];
        return (set.protocolFeeBps, set.orchestratorFeeBps);
    }

    /// @inheritdoc IParams
    function disputes(uint8 epoch) external view returns (uint32 responseWindowSeconds, uint16 bondBps) {
        Set storage set = _sets[epoch];
        return (set.responseWindowSeconds, set.bondBps);
    }

    /// @inheritdoc IParams
    function current() external view returns (Set memory) {
        return _sets[_terms.epoch];
    }

    /// @inheritdoc IParams
    function at(uint8 epoch) external view returns (Set memory) {
        return _sets[epoch];
    }

    function _change(Set memory set) private {
        if (set.orchestratorFeeBps > MAX_ORCHESTRATOR_FEE_BPS) {
            revert OrchestratorFeeTooHigh(set.orchestratorFeeBps, MAX_ORCHESTRATOR_FEE_BPS);
        }
        if (
            uint256(set.protocolFeeBps) + set.orchestratorFeeBps + MAX_ROYALTY_BPS > PayoutLib.ALL_BPS
                || set.slashBps > PayoutLib.ALL_BPS || set.challengerBps > MAX_CHALLENGER_BPS || set.lockMultiple == 0
                || set.minWindowSeconds == 0 || set.minWindowSeconds > set.maxWindowSeconds
                || set.revealWindowSeconds == 0 || set.challengeWindowSeconds == 0 || set.responseWindowSeconds == 0
                || set.bondBps > PayoutLib.ALL_BPS
        ) revert BadParams(set);
        uint8 epoch = _terms.epoch;
        if (epoch == type(uint8).max) revert TooManyEpochs(type(uint8).max);

        _sets[++epoch] = set;
        _terms = Terms(epoch, set.lockMultiple, set.minWindowSeconds, set.maxWindowSeconds, set.revealWindowSeconds);
        emit ParamsChanged(epoch, set);
    }
}
