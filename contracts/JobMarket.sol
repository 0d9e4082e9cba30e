// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IJobMarket} from "./interfaces/IJobMarket.sol";
import {IOrchestrators} from "./interfaces/IOrchestrators.sol";
import {IOstrakaToken} from "./interfaces/IOstrakaToken.sol";
import {Entries} from "./access/Entries.sol";
import {JobSettler} from "./JobSettler.sol";
import {AssignmentLib} from "./libraries/AssignmentLib.sol";
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
        Job storage entry = _openJob(jobId);
        if (msg.sender != entry.requester) revert NotRequester(jobId, msg.sender, entry.requester);
        if (entry.committed != 0) revert WrongState(jobId, _stateOf(entry));

        emit JobCancelled(jobId);
        _close(jobId, entry, JobState.Cancelled);
    }

    /// @inheritdoc IJobMarket
    function expire(uint256 jobId) external {
        Job storage entry = _openJob(jobId);
        if (entry.committed != 0) revert WrongState(jobId, _stateOf(entry));
        if (block.timestamp < entry.deadline) revert CommitStillOpen(jobId, entry.deadline, block.timestamp);

        emit JobFailed(jobId, entry.escrow);
        _close(jobId, entry, JobState.Failed);
    }

    /// @inheritdoc IJobMarket
    function replace(uint256 jobId) external {
        Job storage entry = _openJob(jobId);
        if (msg.sender != _orchestrators[entry.orchestratorNumber] && msg.sender != entry.requester) {
            revert NotParty(jobId, msg.sender);
        }
        uint8 silent = _allOf(entry.replicas) & ~entry.committed;
        if (silent == 0) revert NobodyIsSilent(jobId);
        if (entry.revealed != 0) revert WrongState(jobId, _stateOf(entry));
        if (entry.round == MAX_ROUNDS) revert TooManyRounds(jobId, MAX_ROUNDS);
        if (block.timestamp >= entry.phaseDeadline) {
            revert RevealClosed(jobId, entry.phaseDeadline, block.timestamp);
        }

        uint32 delay = params.at(entry.epoch).minWindowSeconds;
        ++entry.round;
        entry.deadline += delay;
        entry.phaseDeadline += delay;
        emit JobReplacing(jobId, entry.round, silent, entry.deadline);
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
        Job storage entry = _openJob(jobId);
        if (!_has(entry.committed, index)) revert NotCommitted(jobId, index);
        if (_has(entry.revealed, index)) revert AlreadyRevealed(jobId, index);
        if (!_revealsAreOpen(entry)) revert RevealNotOpen(jobId, entry.deadline, block.timestamp);
        if (block.timestamp >= entry.phaseDeadline) revert RevealClosed(jobId, entry.phaseDeadline, block.timestamp);
        if (units == 0 || units > entry.maxUnits) revert UnitsOutOfRange(units, entry.maxUnits);
        bytes32 resultHash = TraceLib.resultHash(units, outputDigest, traceRoot);
        bytes32 seal = _replicas[jobId][index].seal;
        bytes32 opened = AssignmentLib.seal(
            AssignmentLib.headOf(seal),
            assignment,
            AssignmentLib.hashCommitment(jobId, index, msg.sender, resultHash, traceRoot, salt)
        );
        if (opened != seal) revert CommitmentMismatch(seal, opened);

        uint8 group = _joinGroup(jobId, entry, index, resultHash);
        entry.groups |= uint24(group) << index * 3;
        entry.revealed |= uint8(1) << index;
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
    function _joinGroup(uint256 jobId, Job storage entry, uint8 index, bytes32 resultHash) private returns (uint8) {
        uint8 revealed = entry.revealed;
        for (uint8 i = 0; revealed >> i != 0; ++i) {
            bool leads = _has(revealed, i) && _groupOf(entry, i) == i;
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
        if (request.orchestrator == address(0)) {
            made.groups = uint24(block.timestamp);
        } else {
            Orchestrator memory orchestrator = _orchestratorOf[request.orchestrator];
            if (!orchestrator.allowed) revert UnknownOrchestrator(request.orchestrator);
            made.orchestratorNumber = orchestrator.number;
        }
        _setTerms(made, request.deadline);

        made.requester = msg.sender;
        made.escrow = uint80(request.priceCap);
        made.royaltyBps = royaltyBps;
        made.maxUnits = uint24(request.maxUnits);
        made.priceGwei = uint40(pricePerUnit / 1 gwei);
        made.state = JobState.Open;
        made.replicas = request.replicas;
        made.blocks = blocks;
        made.modelId = request.modelId;
    }

    /// @dev Deadlines, and what else the set of parameters in force says.
    function _setTerms(Job memory made, uint64 deadline) private view {
        (uint8 epoch, uint8 lockMultiple, uint32 minWindow, uint32 maxWindow, uint32 revealWindow) = params.terms();
        uint256 earliest = block.timestamp + minWindow;
        if (deadline < earliest) revert DeadlineTooSoon(deadline, earliest);
        uint256 latest = block.timestamp + maxWindow;
        if (deadline > latest) revert DeadlineTooFar(deadline, latest);
        made.deadline = uint32(deadline);
        made.phaseDeadline = uint32(deadline) + revealWindow;
        made.epoch = epoch;
        made.lockMultiple = lockMultiple;
    }
}
