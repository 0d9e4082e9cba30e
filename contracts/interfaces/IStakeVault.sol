// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IOstrakaToken} from "./IOstrakaToken.sol";

/// @title StakeVault: what operators may lose.
/// @notice Stake is free, locked by a job, or unbonding. All of it can be slashed, unbonding stake included.
/// The vault holds exactly the sum of all accounts' `staked` and `unbonding`.
interface IStakeVault {
    /// @param staked all stake that is not unbonding
    /// @param locked the part of `staked` that jobs hold; never more than `staked`
    /// @param unbonding on its way out; still slashable
    /// @param unlockAt timestamp from which `withdraw` pays `unbonding` out; 0 where nothing was ever unbonding
    struct Account {
        uint256 staked;
        uint256 locked;
        uint256 unbonding;
        uint256 unlockAt;
    }

    event Initialized(address[] modules);
    event Staked(address indexed operator, uint256 amount);
    event UnstakeRequested(address indexed operator, uint256 amount, uint256 unlockAt);
    event StakeWithdrawn(address indexed operator, uint256 amount);
    event StakeSlashed(address indexed operator, uint256 amount);

    error NotDeployer(address caller, address deployer);
    error AlreadyInitialized();
    error NoModules();
    error NotModule(address caller);
    error ZeroAddress();
    error ZeroAmount();
    error AmountTooLarge(uint256 amount, uint256 maxAmount);
    error InsufficientFreeStake(address operator, uint256 amount, uint256 free);
    error NothingUnbonding(address operator);
    error StillUnbonding(address operator, uint256 unlockAt, uint256 nowAt);

    /// @notice Names the modules: the contracts that may lock, unlock and slash. By the deployer, once.
    function initialize(address[] calldata modules) external;

    /// @notice Adds `amount` of the caller's tokens to its stake.
    function stake(uint256 amount) external;

    /// @notice Starts unbonding `amount` of the caller's free stake. What is unbonding already joins it and waits anew.
    function requestUnstake(uint256 amount) external;

    /// @notice Pays out what the caller has unbonding, from `unlockAt` on.
    function withdraw() external returns (uint256 amount);

    /// @notice Locks free stake for work that may go wrong. By a module. Tells no event: the module's own say what locks whom.
    /// @return operatorId the operator's short number, given at its first stake, counting from 1
    function lock(address operator, uint256 amount) external returns (uint32 operatorId);

    /// @notice Ends a lock. By a module. Never reverts for it.
    function unlock(address operator, uint256 amount) external;

    /// @notice Takes up to `amount`: free stake first, then unbonding, then locked stake, and sends it to the
    /// module that calls. By a module. Never reverts for it.
    /// @return slashed what was there to take
    function slash(address operator, uint256 amount) external returns (uint256 slashed);

    function account(address operator) external view returns (Account memory);

    /// @notice Stake that is neither unbonding nor locked.
    function free(address operator) external view returns (uint256);

    function operatorIdOf(address operator) external view returns (uint32);

    function token() external view returns (IOstrakaToken);

    /// @notice Whether `caller` may lock, unlock and slash.
    function isModule(address caller) external view returns (bool);

    /// @notice Seconds between `requestUnstake` and `withdraw`. Must exceed twice the longest life of a job.
    function unbondingPeriod() external view returns (uint40);
}
