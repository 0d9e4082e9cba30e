// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IOstrakaToken} from "./IOstrakaToken.sol";

/// @title StakeVault: what operators may lose.
/// @notice Stake is free, locked by a module's work, or unbonding in tranches. All of it can be slashed, unbonding stake
/// included. The vault holds exactly the sum of all accounts' `staked` and `unbonding`. Every operator gets a short id, counting
/// from 1, at its first stake or node; ids are never given twice.
interface IStakeVault {
    /// @param staked all stake that is not unbonding
    /// @param locked the part of `staked` that modules hold; never more than `staked`
    /// @param unbonding on its way out; still slashable
    /// @param unlockAt timestamp from which `withdraw` pays the next tranche out; 0 where nothing is unbonding
    struct Account {
        uint256 staked;
        uint256 locked;
        uint256 unbonding;
        uint256 unlockAt;
    }

    /// @notice One `requestUnstake`.
    struct Tranche {
        uint96 amount;
        uint40 unlockAt;
    }

    /// @notice The contracts that may lock, unlock and slash are named, once and for ever.
    event Initialized(address[] modules);
    /// @notice An operator has its short id.
    event OperatorEnrolled(address indexed operator, uint32 indexed operatorId);
    /// @notice An operator's free stake grew, in wei of the token.
    event Staked(address indexed operator, uint256 amount);
    /// @notice Stake is on its way out; it can still be slashed until it is withdrawn.
    event UnstakeRequested(address indexed operator, uint256 amount, uint256 unlockAt);
    /// @notice Tranches whose time had come were paid out.
    event StakeWithdrawn(address indexed operator, uint256 amount);
    /// @notice A module took stake, and has it now.
    event StakeSlashed(address indexed operator, uint256 amount);

    /// @notice Only the account that created this contract may name the modules.
    error NotDeployer(address caller, address deployer);
    /// @notice The modules were named before and cannot be changed.
    error AlreadyInitialized();
    /// @notice A module at least must be named.
    error NoModules();
    /// @notice Only modules lock, unlock and slash.
    error NotModule(address caller);
    /// @notice A module's address was left out.
    error ZeroAddress();
    /// @notice The amount must be above 0.
    error ZeroAmount();
    /// @notice An operator can stake `maxAmount` more, in wei of the token.
    error AmountTooLarge(uint256 amount, uint256 maxAmount);
    /// @notice The operator has less free stake than that, in wei of the token; what is locked comes free when its work is
    /// over.
    error InsufficientFreeStake(address operator, uint256 amount, uint256 free);
    /// @notice An operator of the list has less free stake than it should lock, in wei of the token.
    error FreeStakeTooLow(uint32 operatorId, uint256 amount, uint256 free);
    /// @notice As many tranches unbond as may; withdraw those whose time has come.
    error TooManyTranches(address operator, uint256 maxTranches);
    /// @notice Nothing is on its way out; `requestUnstake` starts it.
    error NothingUnbonding(address operator);
    /// @notice The oldest tranche can be withdrawn from `unlockAt` on.
    error StillUnbonding(address operator, uint256 unlockAt, uint256 nowAt);

    /// @notice Names the modules: the contracts that may lock, unlock and slash. By the deployer, once.
    function initialize(address[] calldata modules) external;

    /// @notice Adds `amount` of the caller's tokens to its stake. May be paused.
    function stake(uint256 amount) external;

    /// @notice Starts unbonding `amount` of the caller's free stake, as a tranche of its own; at most 8 at a time.
    function requestUnstake(uint256 amount) external;

    /// @notice Pays out every tranche of the caller whose time has come.
    function withdraw() external returns (uint256 amount);

    /// @notice Gives `operator` its short id where it has none, and stakes `amount` of its tokens, which may be 0. By a
    /// module, for an operator that called it.
    function enroll(address operator, uint256 amount) external returns (uint32 operatorId);

    /// @notice Locks free stake for work that may go wrong. By a module. Tells no event: the module's own say what locks whom.
    /// @return operatorId the operator's short id
    function lock(address operator, uint256 amount) external returns (uint32 operatorId);

    /// @notice Locks `amount` of each operator in the list; one that stands in it twice is locked twice. By a module.
    function lockAll(uint32[] calldata operatorIds, uint256 amount) external;

    /// @notice Ends a lock. By a module. Never reverts for it.
    function unlock(address operator, uint256 amount) external;

    /// @notice Ends a lock of `amount` of each operator in the list, as `lockAll` made it. By a module. Never reverts for it.
    /// @param verified whether each gains a point of score for it
    function unlockAll(uint32[] calldata operatorIds, uint256 amount, bool verified) external;

    /// @notice Takes up to `amount`: free stake first, then unbonding (the newest tranche first), then locked stake; sends
    /// it to the module that calls; multiplies the operator's score by 2/3, rounded down. By a module. Never reverts for it.
    /// @return slashed what was there to take
    function slash(address operator, uint256 amount) external returns (uint256 slashed);

    /// @notice An operator's stake, in wei of the token; all zero for one that never staked.
    function account(address operator) external view returns (Account memory);

    /// @notice What `operator` has unbonding, the oldest first.
    function tranches(address operator) external view returns (Tranche[] memory);

    /// @notice Stake that is neither unbonding nor locked.
    function free(address operator) external view returns (uint256);

    /// @notice +1 for each verified piece of work, × 2/3 for each slash; stays at 65 535.
    function scoreOf(address operator) external view returns (uint16);

    /// @notice 0 for an account that never staked nor registered a node.
    function operatorIdOf(address operator) external view returns (uint32);

    /// @notice What is staked.
    function token() external view returns (IOstrakaToken);

    /// @notice A module from the beginning.
    function market() external view returns (address);

    /// @notice Whether `caller` may lock, unlock and slash.
    function isModule(address caller) external view returns (bool);

    /// @notice Seconds between `requestUnstake` and `withdraw`. Must exceed twice the longest life of a job.
    function unbondingPeriod() external view returns (uint40);
}
