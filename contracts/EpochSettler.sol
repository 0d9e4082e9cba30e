// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {Entries} from "./access/Entries.sol";
import {EpochBook} from "./epochs/EpochBook.sol";
import {EpochOrders} from "./epochs/EpochOrders.sol";
import {EpochPayouts} from "./epochs/EpochPayouts.sol";
import {IEpochSettler} from "./interfaces/IEpochSettler.sol";
import {IJobMarket} from "./interfaces/IJobMarket.sol";
import {IOstrakaToken} from "./interfaces/IOstrakaToken.sol";
import {PayoutLib} from "./libraries/PayoutLib.sol";
import {TraceLib} from "./libraries/TraceLib.sol";

/// @title See IEpochSettler.
contract EpochSettler is EpochOrders, EpochPayouts, Entries {
    using SafeERC20 for IOstrakaToken;

    bytes32 private constant COMMIT_TAG = keccak256("ostraka/epoch-commit/1");

    constructor(IJobMarket market_, uint40 gracePeriod_) EpochBook(market_, gracePeriod_) {}

    /// @inheritdoc IEpochSettler
    function open(EpochOrder calldata order, bytes calldata orchestratorSignature, bytes[] calldata nodeSignatures)
        external
        whenOpen
        returns (bytes32 epochId)
    {
        epochId = hashOrder(order);
        if (_epochs[epochId].state != State.None) revert EpochExists(epochId);
        (Epoch memory made, uint256 lock, uint16 blocks) = _draft(order);
        _checkOrchestrator(order.orchestrator, epochId, orchestratorSignature);
        (uint32[] memory ids, uint256 operators) = _checkTeam(order, epochId, blocks, nodeSignatures);

        _epochs[epochId] = made;
        _operators[epochId] = operators;
        emit EpochOpened(epochId, order.requester, order.modelId, order, operators);
        _vault.lockAll(ids, lock);
        _token.safeTransferFrom(msg.sender, address(this), made.escrow);
    }

    /// @inheritdoc IEpochSettler
    function commit(bytes32 epochId, Sealed[] calldata seals) external {
        Epoch memory entry = _openEpoch(epochId);
        if (block.timestamp >= entry.commitDeadline) {
            revert CommitClosed(epochId, entry.commitDeadline, block.timestamp);
        }
        uint256 operators = _operators[epochId];
        uint8 committed = entry.committed;
        for (uint256 i = 0; i < seals.length; ++i) {
            (uint8 seat, bytes32 commitment) = (seals[i].seat, seals[i].commitment);
            address signer = _checkSeat(epochId, operators, seat, commitment, seals[i].signature);
            if (_has(committed, seat)) continue;
            committed |= uint8(1) << seat;
            _seals[epochId][seat] = commitment;
            emit RootCommitted(epochId, seat, signer, commitment);
        }
        if (committed == entry.committed) revert NothingNew(epochId);

        Epoch storage kept = _epochs[epochId];
        kept.committed = committed;
        if (committed == _allOf(entry)) {
            // Reveals open now; how long they may take is what lay between the two deadlines at the opening.
            kept.phaseDeadline = uint32(block.timestamp) + entry.phaseDeadline - entry.commitDeadline;
        }
    }

    /// @inheritdoc IEpochSettler
    function reveal(bytes32 epochId, Revealed[] calldata roots) external {
        Epoch memory entry = _openEpoch(epochId);
        if (!_revealsAreOpen(entry)) revert RevealNotOpen(epochId, entry.commitDeadline, block.timestamp);
        if (entry.state == State.Contested || block.timestamp >= entry.phaseDeadline) {
            revert RevealClosed(epochId, entry.phaseDeadline, block.timestamp);
        }
        uint8 revealed = entry.revealed;
        for (uint256 i = 0; i < roots.length; ++i) {
            uint8 seat = roots[i].seat;
            if (!_has(entry.committed, seat)) revert NotCommitted(epochId, seat);
            if (_has(revealed, seat)) continue;
            _open(epochId, seat, roots[i].root, roots[i].salt);
            revealed |= uint8(1) << seat;
            emit RootRevealed(epochId, seat, roots[i].root, roots[i].leavesDigest);
        }
        if (revealed == entry.revealed) revert NothingNew(epochId);

        _epochs[epochId].revealed = revealed;
    }

    /// @inheritdoc IEpochSettler
    function conflict(EpochOrder calldata order, uint16 job, Opening[] calldata openings) external {
        bytes32 epochId = hashOrder(order);
        Epoch memory entry = _openEpoch(epochId);
        if (job >= order.jobs) revert UnknownJob(job, order.jobs);
        if (entry.state == State.Committing) {
            if (!_revealsAreOver(entry)) revert RevealStillOpen(epochId, entry.phaseDeadline, block.timestamp);
        } else if (block.timestamp >= entry.phaseDeadline) {
            revert ChallengeClosed(epochId, entry.phaseDeadline, block.timestamp);
        }
        uint8 opened = _checkOpenings(epochId, entry.revealed, job, order.jobs, openings);

        (bytes32 leaf, uint8 holders) = _mostHeld(openings);
        if (leaf != 0 && _isMajority(entry, holders)) {
            uint8 losers = opened & ~holders & ~entry.outvoted;
            if (losers == 0) revert NobodyOutvoted(epochId, job);
            _epochs[epochId].outvoted = entry.outvoted | losers;
            emit JobOpened(epochId, job, leaf, losers, msg.sender);
            _punish(order, epochId, entry, losers, msg.sender);
        } else {
            // A voice that nobody opened might have made a majority, unless most left the job out anyway.
            bool decided = opened == entry.revealed || _isMajority(entry, holders);
            if (opened == 0 || !decided) revert NoMajority(epochId, job);
            _void(epochId, job, entry.voided);
        }
    }

    /// @inheritdoc IEpochSettler
    function settle(EpochOrder calldata order) external {
        bytes32 epochId = hashOrder(order);
        Epoch memory entry = _openEpoch(epochId);
        _checkSettler(order.orchestrator, entry);
        if (entry.state == State.Contested) {
            if (block.timestamp < entry.phaseDeadline) {
                revert ChallengeStillOpen(epochId, entry.phaseDeadline, block.timestamp);
            }
            // One voice left, or no verdict: then nobody is right, and nobody known to be wrong.
            uint8 standing = entry.revealed & ~entry.outvoted;
            uint8 agreeing = _sameAsFirst(epochId, standing);
            _finish(order, epochId, entry, agreeing == standing ? standing : 0);
            return;
        }

        bool hopeless = block.timestamp >= entry.commitDeadline && !_isMajority(entry, entry.committed);
        if (!hopeless && !_revealsAreOver(entry)) {
            revert RevealStillOpen(epochId, entry.phaseDeadline, block.timestamp);
        }
        uint8 winners = _majority(epochId, entry);
        if (winners != 0) {
            // Two trees with different roots differ in a leaf, so whoever has another root than most is outvoted, and need
            // not be shown to be: its leaves are its own, and it might keep them to itself.
            _punishLosers(order, epochId, entry, winners);
        } else if (_isMajority(entry, entry.revealed)) {
            _contest(epochId, entry);
        } else {
            _finish(order, epochId, entry, 0);
        }
    }

    /// @dev The id is a digest over chain and contract, so the commitment is bound to both.
    function _open(bytes32 epochId, uint8 seat, bytes32 root, bytes32 salt) private {
        bytes32 opened = keccak256(abi.encode(COMMIT_TAG, epochId, seat, root, salt));
        bytes32 committed = _seals[epochId][seat];
        if (opened != committed) revert CommitmentMismatch(committed, opened);
        _seals[epochId][seat] = root;
    }

    function _punishLosers(EpochOrder calldata order, bytes32 epochId, Epoch memory entry, uint8 winners) private {
        uint8 losers = entry.revealed & ~winners & ~entry.outvoted;
        entry.outvoted |= losers;
        _finish(order, epochId, entry, winners);
        _punish(order, epochId, entry, losers, address(0));
    }

    function _contest(bytes32 epochId, Epoch memory entry) private {
        uint32 deadline = uint32(block.timestamp) + _params.at(entry.paramSet).challengeWindowSeconds;
        Epoch storage kept = _epochs[epochId];
        kept.state = State.Contested;
        kept.phaseDeadline = deadline;
        emit EpochContested(epochId, deadline);
    }

    /// @dev Closes the epoch: pays `winners`, returns the rest, unlocks who stands, and takes the locks of the silent.
    function _finish(EpochOrder calldata order, bytes32 epochId, Epoch memory entry, uint8 winners) private {
        (uint256 price, uint256 refund) =
            PayoutLib.splitEpoch(entry.escrow, order.jobs, entry.voided, order.pricePerJob, _count(winners));
        uint256 lock = _lockOf(order, entry);
        // Where too few committed to ever agree, no reveal was owed.
        uint8 spoke = _isMajority(entry, entry.committed) ? entry.revealed : entry.committed;

        Epoch storage kept = _epochs[epochId];
        kept.escrow = 0;
        kept.state = winners == 0 ? State.Refunded : State.Settled;
        if (entry.outvoted != 0) kept.outvoted = entry.outvoted;
        _credit(order.requester, refund);
        if (winners == 0) {
            emit EpochRefunded(epochId, refund);
            _vault.unlockAll(_idsOf(epochId, spoke & ~entry.outvoted), lock, false);
        } else {
            emit EpochSettled(epochId, _rootOf(epochId, winners), winners, price, refund);
            uint32[] memory ids = _idsOf(epochId, winners);
            _payWinners(order, epochId, entry, ids, price);
            _vault.unlockAll(ids, lock, true);
        }
        _punish(order, epochId, entry, _allOf(entry) & ~spoke, address(0));
    }

    function _void(bytes32 epochId, uint16 job, uint16 voided) private {
        uint256 bit = uint256(1) << (job & 255);
        if (_voidJobs[epochId][job >> 8] & bit != 0) revert AlreadyVoid(epochId, job);
        _voidJobs[epochId][job >> 8] |= bit;
        _epochs[epochId].voided = voided + 1;
        emit JobVoided(epochId, job);
    }

    function _checkSettler(address orchestrator, Epoch memory entry) private view {
        uint256 anyoneFrom = uint256(entry.phaseDeadline) + gracePeriod;
        if (msg.sender != orchestrator && block.timestamp < anyoneFrom) {
            revert NotOrchestrator(msg.sender, orchestrator, anyoneFrom, block.timestamp);
        }
    }

    /// @return opened bitmap of the seats whose trees hold what the openings say
    function _checkOpenings(
        bytes32 epochId,
        uint8 revealed,
        uint16 job,
        uint16 jobs,
        Opening[] calldata openings
    ) private view returns (uint8 opened) {
        uint256 levels = TraceLib.depth(jobs);
        for (uint256 i = 0; i < openings.length; ++i) {
            Opening calldata opening = openings[i];
            uint8 seat = opening.seat;
            if (!_has(revealed, seat)) revert NotRevealed(epochId, seat);
            if (opened >> seat != 0) revert OpeningsOutOfOrder(seat);
            if (opening.proof.length != levels) revert ProofLengthWrong(seat, opening.proof.length, levels);
            bytes32 root = TraceLib.root(opening.leaf, job, opening.proof);
            if (root != _seals[epochId][seat]) revert RootMismatch(seat, _seals[epochId][seat], root);
            opened |= uint8(1) << seat;
        }
    }

    /// @dev The leaf that most of the openings hold, and the seats that hold it.
    function _mostHeld(Opening[] calldata openings) private pure returns (bytes32 leaf, uint8 holders) {
        for (uint256 i = 0; i < openings.length; ++i) {
            uint8 same;
            for (uint256 k = 0; k < openings.length; ++k) {
                if (openings[k].leaf == openings[i].leaf) same |= uint8(1) << openings[k].seat;
            }
            if (_count(same) > _count(holders)) (leaf, holders) = (openings[i].leaf, same);
        }
    }

    /// @dev The seats that revealed the root that more than half of the team did; 0 where there is none.
    function _majority(bytes32 epochId, Epoch memory entry) private view returns (uint8) {
        for (uint8 left = entry.revealed; _isMajority(entry, left);) {
            uint8 same = _sameAsFirst(epochId, left);
            if (_isMajority(entry, same)) return same;
            left &= ~same;
        }
        return 0;
    }

    /// @dev Those of `seats` that revealed the same root as the first of them.
    function _sameAsFirst(bytes32 epochId, uint8 seats) private view returns (uint8 same) {
        bytes32 root;
        for (uint8 seat = 0; seats >> seat != 0; ++seat) {
            if (!_has(seats, seat)) continue;
            if (same == 0) root = _seals[epochId][seat];
            if (_seals[epochId][seat] == root) same |= uint8(1) << seat;
        }
    }

    function _rootOf(bytes32 epochId, uint8 seats) private view returns (bytes32) {
        uint256 seat = 0;
        while (!_has(seats, seat)) ++seat;
        return _seals[epochId][seat];
    }
}
