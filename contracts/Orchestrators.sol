// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {Entries} from "./access/Entries.sol";
import {IJobMarket} from "./interfaces/IJobMarket.sol";
import {IJobs} from "./interfaces/IJobs.sol";
import {IOrchestrators} from "./interfaces/IOrchestrators.sol";
import {IOstrakaToken} from "./interfaces/IOstrakaToken.sol";
import {IParams} from "./interfaces/IParams.sol";
import {IRandomness} from "./interfaces/IRandomness.sol";
import {AssignmentLib} from "./libraries/AssignmentLib.sol";
import {FrozenWeight} from "./libraries/FrozenWeight.sol";
import {PayoutLib} from "./libraries/PayoutLib.sol";
import {SignatureLib} from "./libraries/SignatureLib.sol";

/// @title See IOrchestrators.
contract Orchestrators is IOrchestrators, Entries {
    using SafeERC20 for IOstrakaToken;
    using FrozenWeight for uint256;

    uint256 private constant TOKEN = 1e18;
    uint256 private constant MAX_ENDPOINT_BYTES = 256;
    uint256 private constant MAX_MEMBERS = 64;
    uint256 private constant RANKS = 8; // so that drawing them costs little beside what it settles

    /// @dev One slot. `slots` names a slot a byte, the leader's in the lowest.
    struct Order {
        uint64 requestId;
        uint64 slots;
        uint8 count;
        bool drawn;
    }

    /// @inheritdoc IOrchestrators
    IJobMarket public immutable market;
    /// @inheritdoc IOrchestrators
    IRandomness public immutable randomness;
    /// @inheritdoc IOrchestrators
    IOstrakaToken public immutable token;
    /// @inheritdoc IOrchestrators
    uint256 public activeCount;

    uint96 private immutable _minStake;
    uint32 private immutable _epochSeconds;
    uint32 private immutable _takeoverSeconds;
    uint32 private immutable _unbondingSeconds;
    uint8 private immutable _maxMembers;
    uint8 private _slotCount;
    mapping(address account => Member) private _members;
    mapping(uint256 slot => address) private _holders;
    mapping(uint256 slot => uint256) private _weights;
    mapping(uint256 orderEpoch => Order) private _orders;
    mapping(bytes32 offence => bool) private _punished;

    constructor(IJobMarket market_, IRandomness randomness_, Terms memory terms_) {
        if (address(market_) == address(0) || address(randomness_) == address(0)) revert ZeroAddress();
        if (
            terms_.minStake < TOKEN || terms_.epochSeconds == 0 || terms_.takeoverSeconds == 0
                || terms_.unbondingSeconds < 2 * uint256(terms_.epochSeconds) || terms_.maxMembers == 0
                || terms_.maxMembers > MAX_MEMBERS
        ) revert BadTerms(terms_);
        market = market_;
        randomness = randomness_;
        token = market_.token();
        _minStake = terms_.minStake;
        _epochSeconds = terms_.epochSeconds;
        _takeoverSeconds = terms_.takeoverSeconds;
        _unbondingSeconds = terms_.unbondingSeconds;
        _maxMembers = terms_.maxMembers;
    }

    // ── coming and going ──

    /// @inheritdoc IOrchestrators
    function register(string calldata endpoint, uint96 stake) external whenOpen {
        Member storage entry = _members[msg.sender];
        if (entry.status != Status.None) revert AlreadyRegistered(msg.sender, entry.status);
        _checkEndpoint(endpoint);
        if (stake < _minStake) revert StakeTooLow(stake, _minStake);
        if (activeCount == _maxMembers) _makeRoom(stake);

        uint8 slot = _freeSlot();
        ++activeCount;
        _members[msg.sender] = Member(stake, 0, slot, Status.Active);
        _holders[slot] = msg.sender;
        _weigh(slot, stake);
        emit OrchestratorRegistered(msg.sender, endpoint, stake);
        token.safeTransferFrom(msg.sender, address(this), stake);
    }

    /// @inheritdoc IOrchestrators
    function addStake(uint96 amount) external whenOpen {
        Member storage entry = _activeMember();
        if (amount == 0) revert ZeroAmount();

        uint96 stake = entry.stake + amount;
        entry.stake = stake;
        _weigh(entry.slot, stake);
        emit OrchestratorStakeAdded(msg.sender, amount, stake);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IOrchestrators
    function setEndpoint(string calldata endpoint) external {
        _activeMember();
        _checkEndpoint(endpoint);
        emit OrchestratorEndpointChanged(msg.sender, endpoint);
    }

    /// @inheritdoc IOrchestrators
    function leave() external {
        Member storage entry = _members[msg.sender];
        Status status = entry.status;
        if (status == Status.Active) _vacate(entry);
        else if (status != Status.Jailed) revert WrongMemberStatus(msg.sender, status);
        _unbond(msg.sender, entry);
    }

    /// @inheritdoc IOrchestrators
    function withdraw() external returns (uint96 amount) {
        Member storage entry = _members[msg.sender];
        if (entry.status != Status.Leaving) revert WrongMemberStatus(msg.sender, entry.status);
        if (block.timestamp < entry.unlockAt) revert StillUnbonding(msg.sender, entry.unlockAt, block.timestamp);

        amount = entry.stake;
        delete _members[msg.sender];
        emit OrchestratorWithdrawn(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    // ── orders ──

    /// @inheritdoc IOrchestrators
    function askOrder(uint256 orderEpoch) external {
        Order storage entry = _openOrder(orderEpoch);
        uint256 requestId = entry.requestId;
        if (requestId == 0) {
            requestId = randomness.request();
            entry.requestId = uint64(requestId);
        } else {
            randomness.renew(requestId);
        }
        emit OrderAsked(orderEpoch, requestId, randomness.seedBlockOf(requestId));
    }

    /// @inheritdoc IOrchestrators
    function drawOrder(uint256 orderEpoch) external {
        Order storage entry = _openOrder(orderEpoch);
        uint256 requestId = entry.requestId;
        if (requestId == 0) revert OrderNotAsked(orderEpoch);
        bytes32 seed = randomness.seedOf(requestId);
        (uint256 slots, uint256 count) = _throw(seed, orderEpoch);

        (entry.slots, entry.count, entry.drawn) = (uint64(slots), uint8(count), true);
        emit OrderDrawn(orderEpoch, seed, _ranked(slots, count));
    }

    // ── keeping them honest ──

    /// @inheritdoc IOrchestrators
    function proveDouble(
        uint256 jobId,
        uint8 replica,
        IJobs.Stage[][] calldata assignments,
        bytes[] calldata signatures
    ) external {
        // Each round of a job may need another route for a silent replica; no more than that.
        uint256 expected = uint256(market.job(jobId).round) + 2;
        if (assignments.length != expected || signatures.length != expected) {
            revert AssignmentCountWrong(assignments.length, signatures.length, expected);
        }
        address signer = _soleSigner(jobId, replica, assignments, signatures);
        Member storage entry = _members[signer];
        if (entry.status == Status.None) revert WrongMemberStatus(signer, Status.None);
        bytes32 offence = keccak256(abi.encode(signer, jobId, replica));
        if (_punished[offence]) revert AlreadyPunished(offence);

        _punished[offence] = true;
        if (entry.status == Status.Active) {
            _vacate(entry);
            entry.status = Status.Jailed;
        }
        _slash(signer, entry, offence);
    }

    // ── how they are read ──

    /// @inheritdoc IOrchestrators
    function mayAssign(address account, uint256 since) external view returns (bool) {
        return block.timestamp >= mayAssignFrom(account, since);
    }

    /// @inheritdoc IOrchestrators
    function mayAssignFrom(address account, uint256 since) public view returns (uint256) {
        Member storage entry = _members[account];
        if (entry.status != Status.Active) return type(uint256).max;
        return since + _rankOf(entry.slot, epochAt(since)) * _takeoverSeconds;
    }

    /// @inheritdoc IOrchestrators
    function leader(uint256 orderEpoch, uint256 rank) external view returns (address) {
        Order storage entry = _orders[orderEpoch];
        return rank < entry.count ? _holders[uint8(entry.slots >> rank * 8)] : address(0);
    }

    /// @inheritdoc IOrchestrators
    function order(uint256 orderEpoch) external view returns (address[] memory) {
        Order storage entry = _orders[orderEpoch];
        return _ranked(entry.slots, entry.count);
    }

    /// @inheritdoc IOrchestrators
    function orderStatus(uint256 orderEpoch) external view returns (bool drawn, uint256 requestId) {
        Order storage entry = _orders[orderEpoch];
        return (entry.drawn, entry.requestId);
    }

    /// @inheritdoc IOrchestrators
    function epochAt(uint256 timestamp) public view returns (uint256) {
        return timestamp / _epochSeconds;
    }

    /// @inheritdoc IOrchestrators
    function active() external view returns (address[] memory accounts) {
        accounts = new address[](activeCount);
        uint256 next;
        for (uint256 slot = 1; slot <= _slotCount; ++slot) {
            if (_isHeld(slot)) accounts[next++] = _holders[slot];
        }
    }

    /// @inheritdoc IOrchestrators
    function member(address account) external view returns (Member memory) {
        return _members[account];
    }

    /// @inheritdoc IOrchestrators
    function weightOf(address account, uint256 orderEpoch) external view returns (uint256) {
        uint256 slot = _members[account].slot;
        return slot == 0 ? 0 : _weights[slot].at(orderEpoch - 1);
    }

    /// @inheritdoc IOrchestrators
    function terms() external view returns (Terms memory) {
        return Terms(_minStake, _epochSeconds, _takeoverSeconds, _unbondingSeconds, _maxMembers);
    }

    // ── steps ──

    /// @dev The smallest stake makes room, so that the places cannot be held by many small ones.
    function _makeRoom(uint96 stake) private {
        address smallest;
        uint96 least = type(uint96).max;
        for (uint256 slot = 1; slot <= _slotCount; ++slot) {
            if (!_isHeld(slot)) continue;
            uint96 its = _members[_holders[slot]].stake;
            if (its < least) (smallest, least) = (_holders[slot], its);
        }
        if (stake <= least) revert NoRoom(stake, least);
        Member storage entry = _members[smallest];
        _vacate(entry);
        _unbond(smallest, entry);
    }

    /// @dev One that no order counts any more, so that a rank is never read as somebody else's.
    function _freeSlot() private returns (uint8) {
        uint256 round = epochAt(block.timestamp);
        uint8 count = _slotCount;
        for (uint8 slot = 1; slot <= count; ++slot) {
            if (_weights[slot].isForgotten(round)) return slot;
        }
        if (count == 2 * _maxMembers) revert AllSlotsTaken(count);
        _slotCount = count + 1;
        return count + 1;
    }

    function _vacate(Member storage entry) private {
        _weigh(entry.slot, 0);
        entry.slot = 0;
        --activeCount;
    }

    function _unbond(address account, Member storage entry) private {
        uint40 unlockAt = uint40(block.timestamp) + _unbondingSeconds;
        (entry.status, entry.unlockAt) = (Status.Leaving, unlockAt);
        emit OrchestratorLeft(account, unlockAt);
    }

    function _weigh(uint8 slot, uint96 stake) private {
        _weights[slot] = _weights[slot].changed(stake / TOKEN, epochAt(block.timestamp));
    }

    function _slash(address account, Member storage entry, bytes32 offence) private {
        IParams.Set memory set = market.params().current();
        uint256 amount = PayoutLib.bps(entry.stake, set.slashBps);
        uint256 toReporter = PayoutLib.bps(amount, set.challengerBps);
        uint256 burnt = amount - toReporter;
        entry.stake -= uint96(amount);
        emit OrchestratorSlashed(account, msg.sender, offence, amount, toReporter, burnt);
        token.burn(burnt);
        token.safeTransfer(msg.sender, toReporter);
    }

    /// @dev The first RANKS of a draw by weight without repetition.
    function _throw(bytes32 seed, uint256 orderEpoch) private view returns (uint256 slots, uint256 count) {
        uint256[] memory weights = new uint256[](_slotCount);
        uint256 left;
        for (uint256 i = 0; i < weights.length; ++i) {
            weights[i] = _weights[i + 1].at(orderEpoch - 1);
            left += weights[i];
        }
        for (; count < RANKS && left != 0; ++count) {
            uint256 ticket = uint256(keccak256(abi.encode(seed, count))) % left;
            uint256 i;
            for (; ticket >= weights[i]; ++i) ticket -= weights[i];
            left -= weights[i];
            weights[i] = 0;
            slots |= (i + 1) << count * 8;
        }
    }

    // ── checks ──

    /// @dev An order that may still be drawn. Of the present epoch and the next the weights are frozen and still known.
    function _openOrder(uint256 orderEpoch) private view returns (Order storage entry) {
        uint256 current = epochAt(block.timestamp);
        if (orderEpoch != current && orderEpoch != current + 1) revert EpochOutOfReach(orderEpoch, current);
        entry = _orders[orderEpoch];
        if (entry.drawn) revert OrderAlreadyDrawn(orderEpoch);
    }

    function _rankOf(uint8 slot, uint256 orderEpoch) private view returns (uint256) {
        if (activeCount == 1) return 0; // there is nobody to wait for
        Order storage entry = _orders[orderEpoch];
        (uint256 slots, uint256 count) = (entry.slots, entry.count);
        for (uint256 rank = 0; rank < count; ++rank) {
            if (uint8(slots >> rank * 8) == slot) return rank;
        }
        return count == 0 ? 1 : count;
    }

    function _ranked(uint256 slots, uint256 count) private view returns (address[] memory ranked) {
        ranked = new address[](count);
        for (uint256 rank = 0; rank < count; ++rank) ranked[rank] = _holders[uint8(slots >> rank * 8)];
    }

    function _isHeld(uint256 slot) private view returns (bool) {
        return _weights[slot].current() != 0;
    }

    function _activeMember() private view returns (Member storage entry) {
        entry = _members[msg.sender];
        if (entry.status != Status.Active) revert WrongMemberStatus(msg.sender, entry.status);
    }

    function _checkEndpoint(string calldata endpoint) private pure {
        uint256 length = bytes(endpoint).length;
        if (length == 0 || length > MAX_ENDPOINT_BYTES) revert EndpointLengthOutOfRange(length, MAX_ENDPOINT_BYTES);
    }

    /// @dev Who signed all of them; they are different.
    function _soleSigner(
        uint256 jobId,
        uint8 replica,
        IJobs.Stage[][] calldata assignments,
        bytes[] calldata signatures
    ) private view returns (address signer) {
        bytes32[] memory seen = new bytes32[](assignments.length);
        for (uint256 i = 0; i < seen.length; ++i) {
            seen[i] = AssignmentLib.hashAssignment(jobId, replica, assignments[i]);
            for (uint256 k = 0; k < i; ++k) {
                if (seen[k] == seen[i]) revert SameAssignment(seen[i]);
            }
            bytes32 digest = AssignmentLib.digestIn(address(market), seen[i]);
            address recovered = SignatureLib.recover(digest, signatures[i]);
            if (i == 0) signer = recovered;
            else if (recovered != signer) revert SignersDiffer(signer, recovered);
        }
    }
}
