// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IJobs} from "../interfaces/IJobs.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IOrchestrators} from "../interfaces/IOrchestrators.sol";
import {IOstrakaToken} from "../interfaces/IOstrakaToken.sol";
import {IParams} from "../interfaces/IParams.sol";
import {IShardRegistry} from "../interfaces/IShardRegistry.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {AssignmentLib} from "../libraries/AssignmentLib.sol";
import {JobWord, JobWordLib} from "../libraries/JobWordLib.sol";
import {PayoutLib} from "../libraries/PayoutLib.sol";

/// @title What the market remembers of jobs. Market and settler share this memory, so its order is the same in both.
abstract contract JobBook is IJobs {
    uint8 internal constant MAX_REPLICAS = 7;
    uint256 internal constant MAX_STAGES = 64;
    uint256 internal constant SEATS_PER_WORD = 8;

    /// @dev Three slots.
    struct Job {
        address requester;
        uint80 escrow;
        uint16 royaltyBps;
        // slot 1
        JobWord word;
        // slot 2
        bytes32 modelId;
    }

    /// @dev Commitment and result never share a slot. `seal` is the lead's operator id (32 bits), how many stages follow (8),
    /// then 216 bits of a hash over assignment and commitment: who reveals or settles shows both again.
    struct Replica {
        bytes32 seal;
        bytes32 resultHash;
    }

    /// @inheritdoc IJobs
    IOstrakaToken public immutable token;
    /// @inheritdoc IJobs
    IStakeVault public immutable vault;
    /// @inheritdoc IJobs
    INodeRegistry public immutable nodes;
    /// @inheritdoc IJobs
    IModelRegistry public immutable models;
    /// @inheritdoc IJobs
    IShardRegistry public immutable shards;
    /// @inheritdoc IJobs
    IParams public immutable params;
    /// @inheritdoc IJobs
    address public immutable treasury;
    /// @inheritdoc IJobs
    address public court;
    /// @inheritdoc IJobs
    address public settlement;
    /// @inheritdoc IJobs
    IOrchestrators public orchestrators;

    /// @inheritdoc IJobs
    uint64 public jobCount;
    uint16 internal _orchestratorCount;
    /// @dev Beside the number of jobs, which each submission reads and writes anyway.
    bool internal _paused;

    /// @dev A job names its orchestrator by number. A number is never given to another; one that is forbidden keeps it.
    struct Orchestrator {
        uint16 number;
        bool allowed;
    }

    mapping(address account => Orchestrator) internal _orchestratorOf;
    mapping(uint16 number => address) internal _orchestrators;
    mapping(uint256 jobId => Job) internal _jobs;
    mapping(uint256 jobId => mapping(uint256 index => Replica)) internal _replicas;
    /// @dev Operator ids of a replica's stages behind the lead's, eight to a word; ids are never 0.
    mapping(uint256 jobId => mapping(uint256 index => mapping(uint256 word => uint256))) internal _seats;

    constructor(IShardRegistry shards_, IParams params_, address treasury_) {
        if (treasury_ == address(0)) revert ZeroAddress();
        shards = shards_;
        vault = shards_.vault();
        nodes = shards_.nodes();
        models = shards_.models();
        token = vault.token();
        treasury = treasury_;
        params = params_;
    }

    /// @dev Binds a job that names nobody to `account`, if it is its turn.
    function _bind(uint256 jobId, JobWord word, address account) internal returns (JobWord) {
        // `groups` is a clock of 24 bits here, which has gone round once at most: no job waits for half a year.
        uint256 since = block.timestamp - (block.timestamp + (1 << 24) - word.groups()) % (1 << 24);
        if (!orchestrators.mayAssign(account, since)) revert NotItsTurn(jobId, account, since);

        emit OrchestratorBound(jobId, account);
        return word.withOrchestrator(_enlist(account).number).withGroups(0);
    }

    /// @dev The account's entry; with a number, given the first time.
    function _enlist(address account) internal returns (Orchestrator storage entry) {
        entry = _orchestratorOf[account];
        if (entry.number != 0) return entry;
        if (_orchestratorCount == type(uint16).max) revert TooManyOrchestrators(type(uint16).max);
        entry.number = ++_orchestratorCount;
        _orchestrators[entry.number] = account;
    }

    /// @dev A job on which votes are still taken or to be counted.
    function _openJob(uint256 jobId) internal view returns (Job storage entry, JobWord word) {
        entry = _jobs[jobId];
        word = entry.word;
        if (word.state() == JobState.None) revert UnknownJob(jobId);
        if (word.state() != JobState.Open) revert WrongState(jobId, word.stateNow());
    }

    function _resultOf(uint256 jobId, JobWord word, uint8 index) internal view returns (bytes32) {
        return _has(word.revealed(), index) ? _replicas[jobId][word.groupOf(index)].resultHash : bytes32(0);
    }

    function _checkTiling(uint16 blocks, Stage[] calldata stages) internal pure {
        if (stages.length == 0 || stages.length > MAX_STAGES) revert StageCountOutOfRange(stages.length, MAX_STAGES);
        uint16 next;
        uint256 workBps;
        for (uint256 i = 0; i < stages.length; ++i) {
            Stage calldata stage = stages[i];
            (uint16 start, uint16 stop) = (stage.start, stage.stop);
            if (start != next) revert StageGap(i, start, next);
            if (stop <= start) revert StageEmpty(i, start, stop);
            next = stop;
            workBps += stage.workBps;
        }
        if (next != blocks) revert StagesEndWrong(next, blocks);
        if (workBps != PayoutLib.ALL_BPS) revert WorkSumWrong(workBps, PayoutLib.ALL_BPS);
    }

    /// @dev A replica that did not commit has seal 0, and only an empty list of stages stands for it.
    /// @return lead operator id of its first stage
    function _checkSeal(uint256 jobId, uint8 index, Sealed calldata replica_) internal view returns (uint32 lead) {
        bytes32 seal = _replicas[jobId][index].seal;
        uint40 head = AssignmentLib.headOf(seal);
        lead = uint32(head >> 8);
        bytes32 given = replica_.stages.length == 0
            ? bytes32(0)
            : AssignmentLib.seal(
                head, AssignmentLib.hashAssignment(jobId, index, replica_.stages), replica_.commitment
            );
        if (given != seal) revert SealMismatch(jobId, index, seal, given);
    }

    function _has(uint8 bitmap, uint8 index) internal pure returns (bool) {
        return index < 8 && bitmap >> index & 1 == 1;
    }
}
