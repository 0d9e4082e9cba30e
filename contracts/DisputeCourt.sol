// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {TraceProofs} from "./court/TraceProofs.sol";
import {IAdjudicator} from "./interfaces/IAdjudicator.sol";
import {IDisputeCourt} from "./interfaces/IDisputeCourt.sol";
import {IJobMarket} from "./interfaces/IJobMarket.sol";
import {IJobs} from "./interfaces/IJobs.sol";
import {IParams} from "./interfaces/IParams.sol";
import {IOstrakaToken} from "./interfaces/IOstrakaToken.sol";
import {AssignmentLib} from "./libraries/AssignmentLib.sol";
import {PayoutLib} from "./libraries/PayoutLib.sol";
import {SignatureLib} from "./libraries/SignatureLib.sol";

/// @title See IDisputeCourt. Verdicts are carried out by the market, which holds the money.
contract DisputeCourt is TraceProofs {
    using SafeERC20 for IOstrakaToken;

    uint256 private constant EVERYONE = type(uint256).max;
    uint256 private constant NOBODY = type(uint256).max - 1;
    bytes32 private constant RECEIPT_TYPEHASH = keccak256(
        "Receipt(uint256 jobId,uint8 replica,uint8 stage,uint64 nodeId,uint16 start,uint16 stop,uint32 units,bytes32 input,bytes32 output)"
    );

    /// @inheritdoc IDisputeCourt
    IJobMarket public immutable market;
    /// @inheritdoc IDisputeCourt
    IAdjudicator public immutable adjudicator;
    /// @inheritdoc IDisputeCourt
    mapping(address account => uint256) public balanceOf;

    /// @dev Two slots; the second is first written when somebody is asked or contests. Clocks count what is used of them, so that
    /// nothing is written where nothing is. What is staked follows from the job, and whether it still is from the state.
    struct Entry {
        address challenger;
        uint40 deadline;
        DisputeState state;
        IAdjudicator.Verdict verdict;
        uint8 winner;
        uint8 withheld;
        uint16 block;
        uint8 paramSet;
        // slot 1
        address contester;
        uint32 challengerUsed;
        uint32 respondentUsed;
        uint32 position;
    }

    IOstrakaToken private immutable _token;
    IParams private immutable _params;
    mapping(uint256 jobId => mapping(uint8 loser => Entry)) private _disputes;
    mapping(bytes32 offence => bool) private _punished;

    constructor(IJobMarket market_, IAdjudicator adjudicator_) {
        market = market_;
        adjudicator = adjudicator_;
        _token = market_.token();
        _params = market_.params();
    }

    // ── finding the first difference ──

    /// @inheritdoc IDisputeCourt
    function pinpoint(PinpointProof calldata proof) external {
        (uint256 jobId, uint8 loser) = (proof.jobId, proof.loser);
        Entry storage entry = _disputes[jobId][loser];
        IJobs.Standing memory seen = _standing(jobId, loser, proof.winner);
        if (entry.state == DisputeState.None) _checkChallengeOpen(jobId, entry, seen);
        else if (entry.state > DisputeState.Responding) revert WrongDisputeState(jobId, loser, entry.state);
        uint16 border = _border(seen, proof);
        uint16 blockIndex = border == 0 ? 0 : border - 1;
        uint40 deadline = uint40(block.timestamp) + _windowOf(seen.epoch);

        if (entry.state != DisputeState.None) _returnConflictBond(entry, _bond(seen));
        entry.challenger = msg.sender;
        entry.deadline = deadline;
        entry.state = DisputeState.Pinpointed;
        entry.winner = proof.winner;
        entry.block = blockIndex;
        emit StagePinpointed(jobId, loser, msg.sender, proof.winner, proof.position, blockIndex, deadline);
    }

    /// @inheritdoc IDisputeCourt
    function conflict(uint256 jobId, uint8 loser, uint8 winner) external {
        Entry storage entry = _disputes[jobId][loser];
        IJobs.Standing memory seen = _standing(jobId, loser, winner);
        if (entry.state != DisputeState.None) revert WrongDisputeState(jobId, loser, entry.state);
        _checkChallengeOpen(jobId, entry, seen);
        if (entry.withheld >> winner & 1 == 1) revert AlreadyWithheld(jobId, winner);

        (uint32 window, uint16 bondBps) = _params.disputes(seen.epoch);
        uint256 bond = PayoutLib.bps(seen.stageLock, bondBps);
        entry.challenger = msg.sender;
        entry.deadline = uint40(block.timestamp) + window;
        entry.state = DisputeState.Opened;
        entry.winner = winner;
        entry.paramSet = seen.epoch;
        emit ConflictOpened(jobId, loser, msg.sender, winner, bond);
        _token.safeTransferFrom(msg.sender, address(this), bond);
    }

    /// @inheritdoc IDisputeCourt
    function ask(uint256 jobId, uint8 loser, uint32 position) external {
        Entry storage entry = _running(jobId, loser, DisputeState.Opened);
        if (msg.sender != entry.challenger) revert NotChallenger(msg.sender, entry.challenger);

        uint32 window = _windowOf(entry.paramSet);
        entry.challengerUsed = uint32(window + block.timestamp - entry.deadline);
        entry.deadline = uint40(block.timestamp) + window - entry.respondentUsed;
        entry.state = DisputeState.Responding;
        entry.position = position;
        emit RowAsked(jobId, loser, position, entry.deadline);
    }

    /// @inheritdoc IDisputeCourt
    function respond(
        uint256 jobId,
        uint8 loser,
        IJobs.Result calldata winnerResult,
        bytes32 previous,
        bytes32[] calldata digests,
        bytes32[] calldata proof
    ) external {
        Entry storage entry = _running(jobId, loser, DisputeState.Responding);
        uint8 winner = entry.winner;
        IJobs.Standing memory seen = _standing(jobId, loser, winner);
        (bytes32 revealed,) = market.resultsOf(jobId, winner, winner);
        _checkResult(winner, revealed, winnerResult);
        // There is no such row: that the result says so is the answer.
        if (entry.position < winnerResult.units) {
            _checkRow(winner, winnerResult, entry.position, previous, digests, proof, uint256(seen.blocks) + 1);
        }

        uint32 window = _windowOf(seen.epoch);
        entry.respondentUsed = uint32(window + block.timestamp - entry.deadline);
        entry.deadline = uint40(block.timestamp) + window - entry.challengerUsed;
        entry.state = DisputeState.Opened;
        emit RowShown(jobId, loser, entry.position, entry.deadline);
    }

    /// @inheritdoc IDisputeCourt
    function timeout(uint256 jobId, uint8 loser, IJobs.Sealed calldata winnerSealed) external {
        Entry storage entry = _disputes[jobId][loser];
        DisputeState state = entry.state;
        if (state != DisputeState.Opened && state != DisputeState.Responding) {
            revert WrongDisputeState(jobId, loser, state);
        }
        if (block.timestamp < entry.deadline) revert ClockStillRuns(jobId, loser, entry.deadline, block.timestamp);

        if (state == DisputeState.Opened) _abandon(jobId, loser, entry);
        else _blameSilence(jobId, loser, entry, winnerSealed);
    }

    // ── asking who was right ──

    /// @inheritdoc IDisputeCourt
    function contest(PinpointProof calldata proof) external {
        (uint256 jobId, uint8 loser) = (proof.jobId, proof.loser);
        if (address(adjudicator) == address(0)) revert NoAdjudicator();
        Entry storage entry = _running(jobId, loser, DisputeState.Pinpointed);
        if (proof.winner != entry.winner) revert NotWinner(jobId, proof.winner);
        IJobs.Standing memory seen = _standing(jobId, loser, proof.winner);
        uint16 border = _border(seen, proof);
        // A token that was fed, an output that was stated: the traces themselves show who is wrong.
        if (border == 0 || border - 1 != entry.block) revert NothingToJudge(jobId, loser);

        IParams.Set memory params = _params.at(seen.epoch);
        uint256 bond = PayoutLib.bps(seen.stageLock, params.bondBps);
        entry.contester = msg.sender;
        uint256 window = Math.max(params.challengeWindowSeconds, adjudicator.windowSeconds());
        entry.deadline = uint40(block.timestamp + window);
        entry.state = DisputeState.Adjudicating;
        emit PinpointContested(jobId, loser, msg.sender, bond);
        market.setContested(jobId, loser, true);
        _token.safeTransferFrom(msg.sender, address(this), bond);
        adjudicator.judge(_idOf(jobId, loser), _question(proof, border), entry.deadline);
    }

    /// @inheritdoc IDisputeCourt
    function rule(uint256 disputeId, IAdjudicator.Verdict verdict) external {
        if (msg.sender != address(adjudicator)) revert NotAdjudicator(msg.sender, address(adjudicator));
        if (verdict == IAdjudicator.Verdict.None) revert NoVerdict();
        (uint256 jobId, uint8 loser) = (disputeId >> 8, uint8(disputeId));
        Entry storage entry = _running(jobId, loser, DisputeState.Adjudicating);

        entry.state = DisputeState.Resolved;
        entry.verdict = verdict;
        emit DisputeResolved(jobId, loser, verdict);
    }

    // ── carrying it out ──

    /// @inheritdoc IDisputeCourt
    function conclude(
        uint256 jobId,
        uint8 loser,
        IJobs.Sealed calldata loserSealed,
        IJobs.Sealed calldata winnerSealed
    ) external {
        Entry storage entry = _disputes[jobId][loser];
        IAdjudicator.Verdict verdict = _verdictOf(jobId, loser, entry);
        bool winnerGuilty =
            verdict == IAdjudicator.Verdict.WinnerGuilty || verdict == IAdjudicator.Verdict.BothGuilty;

        entry.state = DisputeState.Settled;
        entry.verdict = verdict;
        emit DisputeSettled(jobId, loser, verdict);
        _closeContestBond(jobId, entry, winnerGuilty || verdict == IAdjudicator.Verdict.Nobody);
        if (verdict == IAdjudicator.Verdict.WinnerGuilty) market.overturn(jobId, loser, loserSealed);
        else if (verdict == IAdjudicator.Verdict.Nobody) {
            market.conclude(jobId, loser, loserSealed, NOBODY, address(0));
        } else {
            uint256 guilty = _stageOf(loserSealed.stages, entry.block);
            market.conclude(jobId, loser, loserSealed, guilty, entry.challenger);
        }
        if (winnerGuilty && entry.contester != address(0)) {
            _punishWinner(jobId, loser, entry, entry.winner, winnerSealed);
        }
    }

    /// @inheritdoc IDisputeCourt
    function punishWinner(uint256 jobId, uint8 loser, uint8 winner, IJobs.Sealed calldata winnerSealed)
        external
    {
        Entry storage entry = _disputes[jobId][loser];
        bool guilty = entry.verdict == IAdjudicator.Verdict.WinnerGuilty
            || entry.verdict == IAdjudicator.Verdict.BothGuilty;
        if (entry.state != DisputeState.Settled || !guilty || entry.contester == address(0)) {
            revert WinnerNotGuilty(jobId, loser);
        }
        // What one winner said of its work afterwards is held against that one alone: else it could betray the others.
        if (!adjudicator.blamesRow(_idOf(jobId, loser))) revert WinnerNotGuilty(jobId, loser);
        IJobs.Standing memory seen = market.standing(jobId);
        if (winner >= 8 || seen.winners >> winner & 1 == 0) revert NotWinner(jobId, winner);
        _punishWinner(jobId, loser, entry, winner, winnerSealed);
    }

    /// @inheritdoc IDisputeCourt
    function forfeit(uint256 jobId, uint8 loser, IJobs.Sealed calldata loserSealed) external {
        Entry storage entry = _disputes[jobId][loser];
        IJobs.Standing memory seen = _judgeable(jobId, loser);
        if (entry.state != DisputeState.None) revert WrongDisputeState(jobId, loser, entry.state);
        uint256 deadline = _challengeDeadline(entry, seen);
        if (block.timestamp < deadline) revert ChallengeStillOpen(jobId, deadline, block.timestamp);

        entry.state = DisputeState.Settled;
        emit ReplicaForfeited(jobId, loser);
        market.conclude(jobId, loser, loserSealed, EVERYONE, address(0));
    }

    /// @inheritdoc IDisputeCourt
    function equivocation(
        Receipt calldata first,
        bytes32 secondOutput,
        bytes calldata firstSignature,
        bytes calldata secondSignature
    ) external {
        if (secondOutput == first.output) revert SameReceipt(secondOutput);
        if (market.job(first.jobId).modelId == 0) revert UnknownJob(first.jobId);
        _checkReceipt(first, first.output, firstSignature);
        _checkReceipt(first, secondOutput, secondSignature);

        _punishOnce(keccak256(abi.encode(first.jobId, first.replica, first.stage, first.nodeId, first.input)));
        emit Equivocated(first.jobId, first.nodeId, msg.sender);
        market.punish(first.jobId, first.nodeId, msg.sender);
    }

    /// @inheritdoc IDisputeCourt
    function withdraw() external returns (uint256 amount) {
        amount = balanceOf[msg.sender];
        if (amount == 0) revert NothingToWithdraw(msg.sender);

        balanceOf[msg.sender] = 0;
        emit BondWithdrawn(msg.sender, amount);
        _token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IDisputeCourt
    function dispute(uint256 jobId, uint8 loser) external view returns (Dispute memory seen) {
        Entry memory entry = _disputes[jobId][loser];
        (DisputeState state, address contester) = (entry.state, entry.contester);
        bool conflicts = state == DisputeState.Opened || state == DisputeState.Responding;
        bool contests = state == DisputeState.Adjudicating || state == DisputeState.Resolved;
        seen.challenger = entry.challenger;
        seen.deadline = entry.deadline;
        seen.state = state;
        seen.verdict = entry.verdict;
        seen.winner = entry.winner;
        seen.withheld = entry.withheld;
        seen.block = entry.block;
        seen.contester = contester;
        seen.position = entry.position;
        if (conflicts) {
            uint32 window = _windowOf(entry.paramSet);
            seen.challengerSeconds = window - entry.challengerUsed;
            seen.respondentSeconds = window - entry.respondentUsed;
            seen.conflictBond = uint128(bondOf(jobId));
        }
        if (contests && contester != address(0)) seen.contestBond = uint128(bondOf(jobId));
    }

    /// @inheritdoc IDisputeCourt
    function bondOf(uint256 jobId) public view returns (uint256) {
        return _bond(market.standing(jobId));
    }

    // ── steps ──

    /// @dev The challenger does not go on: its bond is the treasury's, and whoever knows better may begin again.
    function _abandon(uint256 jobId, uint8 loser, Entry storage entry) private {
        emit ConflictAbandoned(jobId, loser, entry.challenger);
        entry.state = DisputeState.None;
        (entry.challengerUsed, entry.respondentUsed) = (0, 0);
        balanceOf[market.treasury()] += bondOf(jobId);
    }

    /// @dev Any node of an honest winner has the trace and answers. One silent winner proves nothing against the others.
    function _blameSilence(uint256 jobId, uint8 loser, Entry storage entry, IJobs.Sealed calldata winnerSealed)
        private
    {
        uint8 winner = entry.winner;
        IJobs.Standing memory seen = _standing(jobId, loser, winner);
        market.checkSeal(jobId, winner, winnerSealed);
        address challenger = entry.challenger;

        entry.withheld |= uint8(1) << winner;
        emit TraceWithheld(jobId, loser, winner);
        _returnConflictBond(entry, _bond(seen));
        if (entry.withheld == seen.winners) {
            entry.state = DisputeState.Resolved;
            entry.verdict = IAdjudicator.Verdict.WinnerGuilty;
            emit DisputeResolved(jobId, loser, entry.verdict);
        } else {
            entry.state = DisputeState.None;
            entry.deadline = uint40(block.timestamp) + _windowOf(seen.epoch);
        }
        market.punish(jobId, winnerSealed.stages[0].nodeId, challenger);
    }

    function _punishWinner(
        uint256 jobId,
        uint8 loser,
        Entry storage entry,
        uint8 winner,
        IJobs.Sealed calldata winnerSealed
    ) private {
        market.checkSeal(jobId, winner, winnerSealed);
        uint64 nodeId = winnerSealed.stages[_stageOf(winnerSealed.stages, entry.block)].nodeId;
        _punishOnce(keccak256(abi.encode(jobId, winner)));
        emit WinnerPunished(jobId, loser, winner, nodeId);
        market.punish(jobId, nodeId, entry.contester);
    }

    function _punishOnce(bytes32 offence) private {
        if (_punished[offence]) revert AlreadyPunished(offence);
        _punished[offence] = true;
    }

    /// @dev The caller ends the conflict. Another one begins with full clocks.
    function _returnConflictBond(Entry storage entry, uint256 bond) private {
        (entry.challengerUsed, entry.respondentUsed) = (0, 0);
        balanceOf[entry.challenger] += bond;
    }

    /// @dev Back to the contester where it was right or nobody can tell, else to the treasury.
    function _closeContestBond(uint256 jobId, Entry storage entry, bool returned) private {
        address contester = entry.contester;
        if (contester == address(0)) return;
        balanceOf[returned ? contester : market.treasury()] += bondOf(jobId);
    }

    // ── checks ──

    /// @dev A job with a result, a replica that is outvoted and not judged, and one that agrees.
    function _standing(uint256 jobId, uint8 loser, uint8 winner)
        private
        view
        returns (IJobs.Standing memory seen)
    {
        seen = _judgeable(jobId, loser);
        if (winner >= 8 || seen.winners >> winner & 1 == 0) revert NotWinner(jobId, winner);
    }

    function _judgeable(uint256 jobId, uint8 loser) private view returns (IJobs.Standing memory seen) {
        seen = market.standing(jobId);
        IJobs.JobState state = seen.state;
        if (state == IJobs.JobState.None) revert UnknownJob(jobId);
        bool agreed = state == IJobs.JobState.Agreed || state == IJobs.JobState.Disputed
            || state == IJobs.JobState.Overturned;
        if (!agreed) revert WrongJobState(jobId, state);
        if (seen.outvoted >> loser & 1 == 0) revert NotOutvoted(jobId, loser);
    }

    function _border(IJobs.Standing memory seen, PinpointProof calldata proof) private view returns (uint16) {
        (bytes32 lost, bytes32 won) = market.resultsOf(proof.jobId, proof.loser, proof.winner);
        return _firstWrong(seen.blocks, lost, won, proof);
    }

    function _checkChallengeOpen(uint256 jobId, Entry storage entry, IJobs.Standing memory seen) private view {
        uint256 deadline = _challengeDeadline(entry, seen);
        if (block.timestamp >= deadline) revert ChallengeClosed(jobId, deadline, block.timestamp);
    }

    /// @dev As `bondOf`, where the standing is at hand: a job keeps its lock, and a set of parameters never changes.
    function _bond(IJobs.Standing memory seen) private view returns (uint256) {
        (, uint16 bondBps) = _params.disputes(seen.epoch);
        return PayoutLib.bps(seen.stageLock, bondBps);
    }

    function _windowOf(uint8 paramSet) private view returns (uint32 window) {
        (window,) = _params.disputes(paramSet);
    }

    /// @dev The job's; later where a winner let its clock run out and another may be asked.
    function _challengeDeadline(Entry storage entry, IJobs.Standing memory seen)
        private
        view
        returns (uint256)
    {
        bool reopened = entry.withheld != 0 && entry.deadline > seen.challengeDeadline;
        return reopened ? entry.deadline : seen.challengeDeadline;
    }

    /// @dev A dispute in this state whose clock is not out.
    function _running(uint256 jobId, uint8 loser, DisputeState state) private view returns (Entry storage entry) {
        entry = _disputes[jobId][loser];
        if (entry.state != state) revert WrongDisputeState(jobId, loser, entry.state);
        if (block.timestamp >= entry.deadline) revert ClockRanOut(jobId, loser, entry.deadline, block.timestamp);
    }

    function _verdictOf(uint256 jobId, uint8 loser, Entry storage entry)
        private
        view
        returns (IAdjudicator.Verdict)
    {
        DisputeState state = entry.state;
        if (state == DisputeState.Resolved) return entry.verdict;
        if (state != DisputeState.Pinpointed && state != DisputeState.Adjudicating) {
            revert WrongDisputeState(jobId, loser, state);
        }
        if (block.timestamp < entry.deadline) revert ClockStillRuns(jobId, loser, entry.deadline, block.timestamp);
        return IAdjudicator.Verdict.LoserGuilty;
    }

    function _question(PinpointProof calldata proof, uint16 border)
        private
        view
        returns (IAdjudicator.Question memory)
    {
        return IAdjudicator.Question({
            jobId: proof.jobId,
            modelId: market.job(proof.jobId).modelId,
            loser: proof.loser,
            winner: proof.winner,
            position: proof.position,
            block: border - 1,
            previous: proof.previous,
            input: proof.loserDigests[border - 1],
            loserOutput: proof.loserDigests[border],
            winnerOutput: proof.winnerDigests[border]
        });
    }

    /// @dev Receipts are signed in the market's domain, like all else that nodes sign for a job.
    function _checkReceipt(Receipt calldata receipt, bytes32 output, bytes calldata signature) private view {
        bytes32 structHash = keccak256(
            abi.encode(
                RECEIPT_TYPEHASH,
                receipt.jobId,
                receipt.replica,
                receipt.stage,
                receipt.nodeId,
                receipt.start,
                receipt.stop,
                receipt.units,
                receipt.input,
                output
            )
        );
        bytes32 digest = AssignmentLib.digestIn(address(market), structHash);
        address recovered = SignatureLib.recover(digest, signature);
        if (recovered == address(0) || market.nodes().nodeEverOf(recovered) != receipt.nodeId) {
            revert BadReceiptSignature(receipt.nodeId, recovered);
        }
    }

    function _idOf(uint256 jobId, uint8 loser) private pure returns (uint256) {
        return jobId << 8 | loser;
    }
}
