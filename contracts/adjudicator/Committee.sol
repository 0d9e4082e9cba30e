// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {ICommittee} from "../interfaces/ICommittee.sol";
import {IDisputeCourt} from "../interfaces/IDisputeCourt.sol";
import {IJobs} from "../interfaces/IJobs.sol";
import {IOstrakaToken} from "../interfaces/IOstrakaToken.sol";
import {PayoutLib} from "../libraries/PayoutLib.sol";
import {Leaves} from "./Leaves.sol";

/// @title See ICommittee.
abstract contract Committee is Leaves, ICommittee {
    using SafeERC20 for IOstrakaToken;

    /// @inheritdoc ICommittee
    mapping(address account => uint256) public balanceOf;
    /// @inheritdoc ICommittee
    uint256 public openBonds;

    IOstrakaToken private immutable _token;
    mapping(uint256 disputeId => mapping(uint256 round => Round)) private _rounds;
    mapping(uint256 disputeId => mapping(uint256 round => Seat[])) private _seats;
    mapping(uint256 disputeId => address) private _appellants;

    constructor() {
        _token = market.token();
    }

    /// @inheritdoc ICommittee
    function seat(uint256 disputeId, IJobs.Sealed calldata loserReplica, IJobs.Sealed calldata winnerReplica) external {
        (Case storage entry, Round storage current) = _voting(disputeId);
        uint8 round = entry.round;
        if (current.seated != 0 || current.tooFew) revert AlreadySeated(disputeId, round);
        if (block.timestamp >= current.seatBy) revert SeatingClosed(disputeId, current.seatBy, block.timestamp);
        market.checkSeal(entry.jobId, entry.loser, loserReplica);
        market.checkSeal(entry.jobId, entry.winner, winnerReplica);
        uint256 wanted = round == 0 ? _rules.seats : _rules.appealSeats;
        address[] memory excluded = _excluded(disputeId, entry, loserReplica.stages, winnerReplica.stages);
        address[] memory drawn = sortition.draw(current.requestId, wanted, excluded);
        uint256 found = _passOver(drawn, wanted);
        // The same seed names the same ones first, then those next in turn.
        if (found < drawn.length) {
            drawn = sortition.draw(current.requestId, 2 * wanted, excluded);
            found = _passOver(drawn, wanted);
        }
        if (found * 2 <= wanted) {
            current.tooFew = true;
            emit TooFewJurors(disputeId, round, found, wanted / 2 + 1);
            return;
        }
        uint40 commitBy = uint40(block.timestamp) + _rules.commitSeconds;
        current.seated = uint8(found);
        current.commitBy = commitBy;
        current.revealBy = commitBy + _rules.revealSeconds;
        emit CommitteeSeated(disputeId, round, commitBy, current.revealBy);
        _lockBonds(disputeId, round, drawn, found);
    }

    /// @inheritdoc ICommittee
    function commitVote(uint256 disputeId, uint256 seatIndex, bytes32 commitment) external {
        (Case storage entry, Round storage current) = _voting(disputeId);
        Seat storage place = _seatAt(disputeId, entry.round, seatIndex);
        if (commitment == 0) revert ZeroCommitment();
        if (msg.sender != place.juror && _nodes.operatorOf(_nodes.nodeOfSigner(msg.sender)) != place.juror) {
            revert NotJuror(msg.sender, place.juror);
        }
        if (place.commitment != 0) revert AlreadyCommitted(disputeId, seatIndex);
        if (block.timestamp >= current.commitBy) revert CommitClosed(disputeId, current.commitBy, block.timestamp);

        place.commitment = commitment;
        if (++current.committed == current.seated) {
            current.commitBy = uint40(block.timestamp);
            current.revealBy = uint40(block.timestamp) + _rules.revealSeconds;
        }
        emit VoteCommitted(disputeId, entry.round, seatIndex);
    }

    /// @inheritdoc ICommittee
    function revealVote(uint256 disputeId, uint256 seatIndex, Verdict vote, bytes32 salt) external {
        (Case storage entry, Round storage current) = _voting(disputeId);
        Seat storage place = _seatAt(disputeId, entry.round, seatIndex);
        if (vote == Verdict.None) revert NoVote();
        if (place.commitment == 0) revert NotCommitted(disputeId, seatIndex);
        if (place.vote != Verdict.None) revert AlreadyRevealed(disputeId, seatIndex);
        if (block.timestamp < current.commitBy) revert RevealNotOpen(disputeId, current.commitBy, block.timestamp);
        if (block.timestamp >= current.revealBy) revert RevealClosed(disputeId, current.revealBy, block.timestamp);
        bytes32 opened = hashVote(disputeId, entry.round, seatIndex, msg.sender, vote, salt);
        if (opened != place.commitment) revert CommitmentMismatch(place.commitment, opened);

        place.vote = vote;
        if (++current.revealed == current.committed) current.revealBy = uint40(block.timestamp);
        emit VoteRevealed(disputeId, entry.round, seatIndex, vote);
    }

    /// @inheritdoc ICommittee
    function appeal(uint256 disputeId) external {
        (Case storage entry, Round storage current) = _voting(disputeId);
        if (entry.round != 0) revert AlreadyAppealed(disputeId);
        if (current.seated == 0) revert NoCommittee(disputeId);
        uint256 opensAt = current.revealBy;
        if (block.timestamp < opensAt) revert AppealNotOpen(disputeId, opensAt, block.timestamp);
        uint256 closesAt = opensAt + _rules.appealSeconds;
        if (block.timestamp >= closesAt) revert AppealClosed(disputeId, closesAt, block.timestamp);

        uint256 bond = _rules.appealBond;
        entry.round = 1;
        _appellants[disputeId] = msg.sender;
        openBonds += bond;
        emit Appealed(disputeId, msg.sender, tally(disputeId, 0), bond);
        _begin(disputeId, 1);
        _token.safeTransferFrom(msg.sender, address(this), bond);
    }

    /// @inheritdoc ICommittee
    function close(uint256 disputeId) external {
        Case storage entry = _running(disputeId);
        uint256 closesAt = entry.guilty != 0 ? entry.ruleAt : _endOf(disputeId, entry.round);
        if (block.timestamp < closesAt) revert CaseStillOpen(disputeId, closesAt, block.timestamp);
        if (entry.guilty != 0) {
            _answer(disputeId, entry, _proven(entry.guilty));
            return _dismiss(disputeId, entry);
        }

        (Verdict first, Verdict word) = _count(disputeId, 0);
        Verdict verdict = first;
        if (entry.round == 1) {
            (Verdict second, Verdict lastWord) = _count(disputeId, 1);
            if (second != Verdict.None) (verdict, word) = (second, lastWord);
        }
        _answer(disputeId, entry, verdict);
        // An appeal that found no committee proves nothing against the appellant.
        bool returned = verdict != first || _rounds[disputeId][1].tooFew;
        _settle(disputeId, word, _closeAppeal(disputeId, returned));
    }

    /// @inheritdoc ICommittee
    function withdraw() external returns (uint256 amount) {
        amount = balanceOf[msg.sender];
        if (amount == 0) revert NothingToWithdraw(msg.sender);

        balanceOf[msg.sender] = 0;
        emit Withdrawn(msg.sender, amount);
        _token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc ICommittee
    function roundOf(uint256 disputeId, uint8 round) external view returns (Round memory) {
        return _rounds[disputeId][round];
    }

    /// @inheritdoc ICommittee
    function seatOf(uint256 disputeId, uint8 round, uint256 seatIndex) external view returns (Seat memory) {
        return _seatAt(disputeId, round, seatIndex);
    }

    /// @inheritdoc ICommittee
    function tally(uint256 disputeId, uint8 round) public view returns (Verdict verdict) {
        (verdict,) = _count(disputeId, round);
    }

    /// @inheritdoc ICommittee
    function hashVote(
        uint256 disputeId,
        uint8 round,
        uint256 seatIndex,
        address sender,
        Verdict vote,
        bytes32 salt
    ) public view returns (bytes32) {
        bytes32 domain = keccak256(abi.encode("ostraka/vote/1", block.chainid, address(this)));
        return keccak256(abi.encode(domain, disputeId, round, seatIndex, sender, vote, salt));
    }

    // ── steps ──

    function _begin(uint256 disputeId, uint8 round) internal override {
        uint256 requestId = sortition.randomness().request();
        uint40 seatBy = uint40(block.timestamp) + _rules.seatSeconds;
        Round storage next = _rounds[disputeId][round];
        next.requestId = uint64(requestId);
        next.seatBy = seatBy;
        emit RoundBegun(disputeId, round, requestId, seatBy);
    }

    /// @dev Moves the first that have a free bond to the front. Stake that has gone since an operator joined costs it the seat,
    /// and must not stop the others.
    function _passOver(address[] memory drawn, uint256 wanted) private view returns (uint256 found) {
        uint256 bond = _rules.jurorBond;
        for (uint256 i = 0; i < drawn.length && found < wanted; ++i) {
            if (_vault.free(drawn[i]) >= bond) drawn[found++] = drawn[i];
        }
    }

    function _lockBonds(uint256 disputeId, uint8 round, address[] memory drawn, uint256 found) private {
        Seat[] storage seats = _seats[disputeId][round];
        for (uint256 i = 0; i < found; ++i) {
            uint32 operatorId = _vault.lock(drawn[i], _rules.jurorBond);
            seats.push(Seat(drawn[i], operatorId, Verdict.None, 0));
            emit JurorSeated(disputeId, round, drawn[i], i);
        }
    }

    function _dismiss(uint256 disputeId, Case storage entry) internal override {
        for (uint8 round = 0; round <= entry.round; ++round) {
            Seat[] storage seats = _seats[disputeId][round];
            for (uint256 i = 0; i < seats.length; ++i) _vault.unlock(seats[i].juror, _rules.jurorBond);
        }
        _closeAppeal(disputeId, true);
    }

    /// @return pot the bond, where it is lost
    function _closeAppeal(uint256 disputeId, bool returned) private returns (uint256 pot) {
        address appellant = _appellants[disputeId];
        if (appellant == address(0)) return 0;
        uint256 bond = _rules.appealBond;
        delete _appellants[disputeId];
        openBonds -= bond;
        emit AppealBondClosed(disputeId, appellant, returned);
        if (!returned) return bond;
        balanceOf[appellant] += bond;
    }

    /// @dev Who kept to the last word shares what the others lose. What rounding leaves over is the treasury's.
    function _settle(uint256 disputeId, Verdict word, uint256 pot) private {
        uint256 bond = _rules.jurorBond;
        uint256 coherent;
        uint32[] memory one = new uint32[](1);
        for (uint256 round = 0; round < 2; ++round) {
            Seat[] storage seats = _seats[disputeId][round];
            for (uint256 i = 0; i < seats.length; ++i) {
                Seat memory place = seats[i];
                bool fits = _coherent(place.vote, word);
                one[0] = place.operatorId;
                _vault.unlockAll(one, bond, fits && word != Verdict.None);
                if (fits) {
                    ++coherent;
                    continue;
                }
                uint256 slashed = _vault.slash(place.juror, bond);
                pot += slashed;
                emit JurorLost(disputeId, place.juror, slashed);
            }
        }
        if (pot == 0) return;
        (uint256 share, uint256 left) = PayoutLib.splitPot(pot, coherent);
        balanceOf[market.treasury()] += left;
        for (uint256 round = 0; round < 2; ++round) {
            Seat[] storage seats = _seats[disputeId][round];
            for (uint256 i = 0; i < seats.length; ++i) {
                if (!_coherent(seats[i].vote, word)) continue;
                balanceOf[seats[i].juror] += share;
                emit JurorPaid(disputeId, seats[i].juror, share);
            }
        }
    }

    // ── checks ──

    function _voting(uint256 disputeId) private view returns (Case storage entry, Round storage current) {
        entry = _running(disputeId);
        if (entry.guilty != 0) revert LeafDecides(disputeId);
        current = _rounds[disputeId][entry.round];
    }

    function _seatAt(uint256 disputeId, uint8 round, uint256 seatIndex) private view returns (Seat storage) {
        Seat[] storage seats = _seats[disputeId][round];
        if (seatIndex >= seats.length) revert UnknownSeat(disputeId, round, seatIndex);
        return seats[seatIndex];
    }

    /// @return when nothing can be done in the round any more
    function _endOf(uint256 disputeId, uint8 round) private view returns (uint256) {
        Round storage current = _rounds[disputeId][round];
        if (round == 1) {
            if (current.tooFew) return 0;
            return current.seated == 0 ? current.seatBy : current.revealBy;
        }
        if (current.seated == 0) revert NoCommittee(disputeId);
        return uint256(current.revealBy) + _rules.appealSeconds;
    }

    /// @return verdict what the round says; None where no more than half of the seats revealed
    /// @return word the same where two thirds of the revealed votes stand behind it, else None
    function _count(uint256 disputeId, uint8 round) private view returns (Verdict verdict, Verdict word) {
        Round storage current = _rounds[disputeId][round];
        uint256 revealed = current.revealed;
        if (revealed * 2 <= current.seated) return (Verdict.None, Verdict.None);
        uint256[5] memory votes;
        Seat[] storage seats = _seats[disputeId][round];
        for (uint256 i = 0; i < seats.length; ++i) ++votes[uint256(seats[i].vote)];
        for (uint256 v = 1; v < 5; ++v) {
            if (votes[v] * 3 >= revealed * 2) return (Verdict(v), Verdict(v));
        }
        return (Verdict.Nobody, Verdict.None);
    }

    function _coherent(Verdict vote, Verdict word) private pure returns (bool) {
        return vote != Verdict.None && (word == Verdict.None || vote == word);
    }

    function _excluded(
        uint256 disputeId,
        Case storage entry,
        IJobs.Stage[] calldata loserStages,
        IJobs.Stage[] calldata winnerStages
    ) private view returns (address[] memory excluded) {
        Seat[] storage seats = _seats[disputeId][0];
        excluded = new address[](loserStages.length + winnerStages.length + seats.length + 2);
        uint256 count;
        for (uint256 i = 0; i < loserStages.length; ++i) excluded[count++] = _nodes.operatorOf(loserStages[i].nodeId);
        for (uint256 i = 0; i < winnerStages.length; ++i) excluded[count++] = _nodes.operatorOf(winnerStages[i].nodeId);
        for (uint256 i = 0; i < seats.length; ++i) excluded[count++] = seats[i].juror;
        IDisputeCourt.Dispute memory dispute = court.dispute(entry.jobId, entry.loser);
        excluded[count++] = dispute.challenger;
        excluded[count++] = dispute.contester;
    }
}
