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
import {PayoutLib} from "../libraries/PayoutLib.sol";

/// @title What the market remembers of jobs. Market and settler share this memory, so its order is the same in both.
abstract contract JobBook is IJobs {
    uint8 internal constant MAX_REPLICAS = 7;
    uint256 internal constant MAX_STAGES = 64;
    uint256 internal constant SEATS_PER_WORD = 8;
    uint8 internal constant NO_REPLICA = type(uint8).max;

    /// @dev Three slots; commit, reveal and the count of votes work on the second. `state` is only ever Open, Agreed or what
    /// closed the job; the clock and the bitmaps say the rest. `groups` holds three bits a replica: the first replica that
    /// revealed the same result, whose `resultHash` is stored for all of them; while no orchestrator is bound (number 0) it holds the
    /// second of submission instead, its lowest 24 bits. `phaseDeadline` ends the reveal phase, and the
    /// challenge phase once the job is Agreed.
    struct Job {
        address requester;
        uint80 escrow;
        uint16 royaltyBps;
        // slot 1
        uint16 orchestratorNumber;
        uint24 maxUnits;
        uint40 priceGwei;
        uint32 deadline;
        uint32 phaseDeadline;
        JobState state;
        uint8 replicas;
        uint8 committed;
        uint8 revealed;
        uint8 outvoted;
        uint24 groups;
        uint16 blocks;
        uint8 epoch;
        uint8 contested;
        uint8 lockMultiple;
        uint8 round;
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
    function _bind(uint256 jobId, Job storage entry, address account) internal {
        // `groups` is a clock of 24 bits here, which has gone round once at most: no job waits for half a year.
        uint256 since = block.timestamp - (block.timestamp + (1 << 24) - entry.groups) % (1 << 24);
        if (!orchestrators.mayAssign(account, since)) revert NotItsTurn(jobId, account, since);

        entry.orchestratorNumber = _enlist(account).number;
        entry.groups = 0;
        emit OrchestratorBound(jobId, account);
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
    function _openJob(uint256 jobId) internal view returns (Job storage entry) {
        entry = _jobs[jobId];
        if (entry.state == JobState.None) revert UnknownJob(jobId);
        if (entry.state != JobState.Open) revert WrongState(jobId, _stateOf(entry));
    }

    function _stateOf(Job storage entry) internal view returns (JobState) {
        JobState state = entry.state;
        if (state == JobState.Agreed && entry.contested != 0) return JobState.Disputed;
        if (state != JobState.Open) return state;
        if (entry.committed != 0 && _revealsAreOpen(entry)) return JobState.Revealing;
        if (entry.round != 0) return JobState.Replacing;
        return entry.committed == 0 ? JobState.Open : JobState.Committing;
    }

    function _revealsAreOpen(Job storage entry) internal view returns (bool) {
        return entry.committed == _allOf(entry.replicas) || block.timestamp >= entry.deadline;
    }

    function _hasResult(Job storage entry) internal view returns (bool) {
        JobState state = entry.state;
        return state == JobState.Agreed || state == JobState.Final || state == JobState.Overturned;
    }

    /// @dev The replica that stands for all with the same result as `index`.
    function _groupOf(Job storage entry, uint256 index) internal view returns (uint8) {
        return uint8(entry.groups >> index * 3 & 7);
    }

    function _resultOf(uint256 jobId, Job storage entry, uint8 index) internal view returns (bytes32) {
        return _has(entry.revealed, index) ? _replicas[jobId][_groupOf(entry, index)].resultHash : bytes32(0);
    }

    /// @dev Who stands for the result that more than half of all replicas revealed, if there is one.
    function _majority(Job storage entry) internal view returns (uint8) {
        (uint8 revealed, uint24 groups, uint8 replicas) = (entry.revealed, entry.groups, entry.replicas);
        for (uint8 i = 0; i < replicas; ++i) {
            if (!_has(revealed, i) || uint8(groups >> uint256(i) * 3 & 7) != i) continue;
            if (_count(_members(revealed, groups, replicas, i)) * 2 > replicas) return i;
        }
        return NO_REPLICA;
    }

    /// @dev Bitmap of the replicas with the result that `leader` stands for.
    function _membersOf(Job storage entry, uint8 leader) internal view returns (uint8) {
        return _members(entry.revealed, entry.groups, entry.replicas, leader);
    }

    function _members(uint8 revealed, uint24 groups, uint8 replicas, uint8 leader) private pure returns (uint8 members) {
        for (uint8 i = 0; i < replicas; ++i) {
            if (_has(revealed, i) && uint8(groups >> uint256(i) * 3 & 7) == leader) members |= uint8(1) << i;
        }
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

    function _pricePerUnit(Job storage entry) internal view returns (uint256) {
        return uint256(entry.priceGwei) * 1 gwei;
    }

    /// @dev The price of one replica at most: also the most a requester is compensated for it.
    function _replicaPriceCap(Job storage entry) internal view returns (uint256) {
        return uint256(entry.maxUnits) * _pricePerUnit(entry);
    }

    function _jobLock(Job storage entry) internal view returns (uint256) {
        return entry.lockMultiple * _replicaPriceCap(entry);
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

    function _allOf(uint8 replicas) internal pure returns (uint8) {
        return uint8((uint256(1) << replicas) - 1);
    }

    function _count(uint8 bitmap) internal pure returns (uint256 bits) {
        for (; bitmap != 0; bitmap &= bitmap - 1) ++bits;
    }
}
