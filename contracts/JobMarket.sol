// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IEntries} from "./interfaces/IEntries.sol";
import {IJobMarket} from "./interfaces/IJobMarket.sol";
import {IOrchestrators} from "./interfaces/IOrchestrators.sol";
import {IOstrakaToken} from "./interfaces/IOstrakaToken.sol";
import {Entries} from "./access/Entries.sol";
import {JobSettler} from "./JobSettler.sol";
import {AssignmentLib} from "./libraries/AssignmentLib.sol";
import {JobWord} from "./libraries/JobWordLib.sol";
import {TraceLib} from "./libraries/TraceLib.sol";
import {JobBook} from "./market/JobBook.sol";
import {JobViews} from "./market/JobViews.sol";
import {Commits} from "./market/Commits.sol";

/// @title See IJobMarket. This file: a job from submission to its reveals. What counts votes and pays is in JobSettler.
contract JobMarket is JobViews, Commits, Entries {
    using SafeERC20 for IOstrakaToken;

    uint8 private constant MAX_ROUNDS = 2;
    address private immutable _deployer;
    address private immutable _settler;

    constructor(JobSettler settler_)
        JobBook(settler_.shards(), settler_.params(), settler_.treasury())
        EIP712("Ostraka", "1")
    {
        _deployer = msg.sender;
        _settler = address(settler_);
    }

    /// @inheritdoc IJobMarket
    function initialize(address court_, address settlement_, IOrchestrators orchestrators_) external {
        if (msg.sender != _deployer) revert NotDeployer(msg.sender, _deployer);
        if (court != address(0)) revert AlreadyInitialized(court);
        if (court_ == address(0) || settlement_ == address(0) || address(orchestrators_) == address(0)) {
            revert ZeroAddress();
        }
        court = court_;
        settlement = settlement_;
        orchestrators = orchestrators_;
        emit Initialized(court_, settlement_, address(orchestrators_));
    }

    /// @inheritdoc IJobMarket
    function setOrchestrator(address orchestrator, bool allowed) external onlyOwner {
        if (orchestrator == address(0)) revert ZeroAddress();
        _enlist(orchestrator).allowed = allowed;
        emit OrchestratorChanged(orchestrator, allowed);
    }

    /// @inheritdoc IJobMarket
    function submit(SubmitRequest calldata request) external whenOpen returns (uint256 jobId) {
        Job memory made = _draft(request);

        jobId = ++jobCount;
        _jobs[jobId] = made;
        emit JobSubmitted(
            jobId,
            msg.sender,
            request.modelId,
            request.orchestrator,
            request.inputDigest,
            request.replicas,
            request.maxUnits,
            request.priceCap,
            request.deadline
        );
        token.safeTransferFrom(msg.sender, address(this), request.priceCap);
    }

    /// @inheritdoc IJobMarket
    function cancel(uint256 jobId) external {
        (Job storage entry, JobWord word) = _openJob(jobId);
        if (msg.sender != entry.requester) revert NotRequester(jobId, msg.sender, entry.requester);
        if (word.committed() != 0) revert WrongState(jobId, word.stateNow());

        emit JobCancelled(jobId);
        _close(jobId, entry, word, JobState.Cancelled);
    }

    /// @inheritdoc IJobMarket
    function expire(uint256 jobId) external {
        (Job storage entry, JobWord word) = _openJob(jobId);
        if (word.committed() != 0) revert WrongState(jobId, word.stateNow());
        if (block.timestamp < word.deadline()) revert CommitStillOpen(jobId, word.deadline(), block.timestamp);

        emit JobFailed(jobId, entry.escrow);
        _close(jobId, entry, word, JobState.Failed);
    }

    /// @inheritdoc IJobMarket
    function replace(uint256 jobId) external {
        (Job storage entry, JobWord word) = _openJob(jobId);
        if (msg.sender != _orchestrators[word.orchestratorNumber()] && msg.sender != entry.requester) {
            revert NotParty(jobId, msg.sender);
        }
        uint8 silent = word.all() & ~word.committed();
        uint32 phaseDeadline = word.phaseDeadline();
        if (silent == 0) revert NobodyIsSilent(jobId);
        if (word.revealed() != 0) revert WrongState(jobId, word.stateNow());
        if (word.round() == MAX_ROUNDS) revert TooManyRounds(jobId, MAX_ROUNDS);
        if (block.timestamp >= phaseDeadline) revert RevealClosed(jobId, phaseDeadline, block.timestamp);

        uint32 delay = params.at(word.epoch()).minWindowSeconds;
        word = word.withRound(word.round() + 1).withDeadline(word.deadline() + delay);
        entry.word = word.withPhaseDeadline(phaseDeadline + delay);
        emit JobReplacing(jobId, word.round(), silent, word.deadline());
    }

    /// @inheritdoc IJobMarket
    function reveal(
        uint256 jobId,
        uint8 index,
        bytes32 assignment,
        uint32 units,
        bytes32 outputDigest,
        bytes32 traceRoot,
        bytes32 salt
    ) external {
        (Job storage entry, JobWord word) = _openJob(jobId);
        if (!_has(word.committed(), index)) revert NotCommitted(jobId, index);
        if (_has(word.revealed(), index)) revert AlreadyRevealed(jobId, index);
        if (!word.revealsAreOpen()) revert RevealNotOpen(jobId, word.deadline(), block.timestamp);
        if (block.timestamp >= word.phaseDeadline()) revert RevealClosed(jobId, word.phaseDeadline(), block.timestamp);
        if (units == 0 || units > word.maxUnits()) revert UnitsOutOfRange(units, word.maxUnits());
        bytes32 resultHash = TraceLib.resultHash(units, outputDigest, traceRoot);
        bytes32 seal = _replicas[jobId][index].seal;
        bytes32 opened = AssignmentLib.seal(
            AssignmentLib.headOf(seal),
            assignment,
            AssignmentLib.hashCommitment(jobId, index, msg.sender, resultHash, traceRoot, salt)
        );
        if (opened != seal) revert CommitmentMismatch(seal, opened);

        uint8 group = _joinGroup(jobId, word, index, resultHash);
        word = word.withGroups(word.groups() | uint24(group) << index * 3);
        entry.word = word.withRevealed(word.revealed() | uint8(1) << index);
        emit ReplicaRevealed(jobId, index, units, outputDigest, traceRoot, resultHash);
    }

    /// @inheritdoc IJobMarket
    function finalize(uint256, Result calldata, Sealed[] calldata) external {
        _settle();
    }

    /// @inheritdoc IJobMarket
    function settleAgreed(
        uint256,
        address,
        address,
        Result calldata,
        Stage[][] calldata,
        uint32[][] calldata
    ) external {
        _settle();
    }

    /// @inheritdoc IJobMarket
    function conclude(uint256, uint8, Sealed calldata, uint256, address) external {
        _settle();
    }

    /// @inheritdoc IJobMarket
    function overturn(uint256, uint8, Sealed calldata) external {
        _settle();
    }

    /// @inheritdoc IJobMarket
    function setContested(uint256, uint8, bool) external {
        _settle();
    }

    /// @inheritdoc IJobMarket
    function punish(uint256, uint64, address) external {
        _settle();
    }

    /// @inheritdoc IJobMarket
    function withdraw() external nonReentrant returns (uint256 amount) {
        uint32 operatorId = vault.operatorIdOf(msg.sender);
        amount = _balances[msg.sender] + _earned[operatorId];
        if (amount == 0) revert NothingToWithdraw(msg.sender);

        _balances[msg.sender] = 0;
        _earned[operatorId] = 0;
        emit Withdrawn(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IJobMarket
    function balanceOf(address account) external view returns (uint256) {
        return _balances[account] + _earned[vault.operatorIdOf(account)];
    }

    /// @inheritdoc IEntries
    function paused() public view override returns (bool) {
        return _paused;
    }

    /// @dev Runs the settler's function of the same name on this contract's memory, with the call's own arguments.
    function _settle() private {
        address settler = _settler;
        assembly ("memory-safe") {
            let start := mload(0x40)
            calldatacopy(start, 0, calldatasize())
            let done := delegatecall(gas(), settler, start, calldatasize(), 0, 0)
            returndatacopy(start, 0, returndatasize())
            if iszero(done) { revert(start, returndatasize()) }
            return(start, returndatasize())
        }
    }

    /// @dev The replica that stands for this result: an earlier one with the same, or this one itself.
    function _joinGroup(uint256 jobId, JobWord word, uint8 index, bytes32 resultHash) private returns (uint8) {
        uint8 revealed = word.revealed();
        for (uint8 i = 0; revealed >> i != 0; ++i) {
            bool leads = _has(revealed, i) && word.groupOf(i) == i;
            if (leads && _replicas[jobId][i].resultHash == resultHash) return i;
        }
        _replicas[jobId][index].resultHash = resultHash;
        return index;
    }

    /// @dev The job that a request asks for, if it may be asked for.
    function _draft(SubmitRequest calldata request) private view returns (Job memory made) {
        (uint16 blocks, uint32 maxUnits, uint96 pricePerUnit, uint16 royaltyBps, bool retired, bool tolerant) =
            models.offer(request.modelId);
        if (blocks == 0) revert UnknownModel(request.modelId);
        if (retired) revert ModelIsRetired(request.modelId);
        // Votes are equal hashes, and where honest machines may differ no hash may cost anybody anything.
        if (tolerant) revert ModelIsTolerant(request.modelId);
        if (request.replicas == 0 || request.replicas > MAX_REPLICAS) {
            revert ReplicasOutOfRange(request.replicas, MAX_REPLICAS);
        }
        if (request.maxUnits == 0 || request.maxUnits > maxUnits) revert UnitsOutOfRange(request.maxUnits, maxUnits);
        uint256 price = uint256(request.replicas) * request.maxUnits * pricePerUnit;
        if (request.priceCap < price) revert PriceCapTooLow(request.priceCap, price);
        if (request.priceCap > type(uint80).max) revert PriceCapTooHigh(request.priceCap, type(uint80).max);
        made.requester = msg.sender;
        made.escrow = uint80(request.priceCap);
        made.royaltyBps = royaltyBps;
        made.word = _word(request, blocks, uint40(pricePerUnit / 1 gwei));
        made.modelId = request.modelId;
    }

    /// @dev Its other terms: who matches it, deadlines, and what else the set of parameters in force says.
    function _word(SubmitRequest calldata request, uint16 blocks, uint40 priceGwei) private view returns (JobWord) {
        (uint8 epoch, uint8 lockMultiple, uint32 minWindow, uint32 maxWindow, uint32 revealWindow) = params.terms();
        uint256 earliest = block.timestamp + minWindow;
        if (request.deadline < earliest) revert DeadlineTooSoon(request.deadline, earliest);
        uint256 latest = block.timestamp + maxWindow;
        if (request.deadline > latest) revert DeadlineTooFar(request.deadline, latest);
        uint32 deadline = uint32(request.deadline);
        (uint16 number, uint24 since) = _matcher(request.orchestrator);
        uint256 low = number | uint256(request.maxUnits) << 16 | uint256(priceGwei) << 40 | uint256(deadline) << 80
            | uint256(deadline + revealWindow) << 112 | uint256(JobState.Open) << 144 | uint256(request.replicas) << 152;
        return JobWord.wrap(
            low | uint256(since) << 184 | uint256(blocks) << 208 | uint256(epoch) << 224 | uint256(lockMultiple) << 240
        );
    }

    /// @return number of the orchestrator; 0 where none is named
    /// @return since the second of submission in that case
    function _matcher(address named) private view returns (uint16 number, uint24 since) {
        if (named == address(0)) return (0, uint24(block.timestamp));
        Orchestrator memory orchestrator = _orchestratorOf[named];
        if (!orchestrator.allowed) revert UnknownOrchestrator(named);
        return (orchestrator.number, 0);
    }

    /// @inheritdoc Entries
    function _setPaused(bool paused_) internal override {
        _paused = paused_;
    }
}
