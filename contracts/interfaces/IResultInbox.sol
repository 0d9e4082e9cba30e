// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IJobMarket} from "./IJobMarket.sol";
import {IJobs} from "./IJobs.sol";

/// @title ResultInbox: brings results to the contracts that asked for them.
/// @notice The consumer is the job's requester at the market: its money is the market's business, and the inbox holds none.
/// Anyone may deliver, at own cost, once the job is closed. A callback gets exactly the gas that its consumer named, whatever
/// the deliverer sends along; what it returns is not looked at; one that fails can be tried again.
interface IResultInbox {
    /// @dev `Waiting → Running → Done`, or `Running → Failed → Running …`. Running is seen from inside a callback only.
    enum CallbackState {
        None,
        Waiting,
        Running,
        Failed,
        Done
    }

    /// @param consumer who is called
    /// @param callbackGas what its next call gets
    struct Callback {
        address consumer;
        uint32 callbackGas;
        CallbackState state;
    }

    /// @notice The consumer is called when the job is over.
    event CallbackRegistered(uint256 indexed jobId, address indexed consumer, uint32 callbackGas);
    /// @notice The next call gets another amount of gas.
    event CallbackGasChanged(uint256 indexed jobId, uint32 callbackGas);
    /// @notice The consumer was called with the output.
    /// @param succeeded whether its call did; if not, it can be called again
    event ResultDelivered(uint256 indexed jobId, bool succeeded);
    /// @notice The consumer was told that there will be no result.
    /// @param ended how the job ended
    /// @param succeeded whether its call did; if not, it can be called again
    event FailureDelivered(uint256 indexed jobId, IJobs.JobState ended, bool succeeded);

    /// @notice The market must be given.
    error ZeroAddress();
    /// @notice Only the job's requester may ask for a callback.
    error NotRequester(uint256 jobId, address caller, address requester);
    /// @notice The caller has no code yet: a call to it would succeed without doing anything. Register after the
    /// constructor.
    error NotContract(address caller);
    /// @notice A callback has 1 to `maxCallbackGas` gas.
    error CallbackGasOutOfRange(uint32 callbackGas, uint32 maxCallbackGas);
    /// @notice The job may give more output than a transaction can carry; fetch it off chain.
    error UnitsOutOfRange(uint32 units, uint256 maxUnits);
    /// @notice The job has its callback; `setCallbackGas` changes its gas.
    error AlreadyRegistered(uint256 jobId);
    /// @notice Nobody asked for a callback about this job.
    error NotRegistered(uint256 jobId);
    /// @notice Only the consumer of the callback may do this.
    error NotConsumer(uint256 jobId, address caller, address consumer);
    /// @notice The consumer has been told, and is told once.
    error AlreadyDone(uint256 jobId);
    /// @notice The consumer is being called right now, and may not be called from within.
    error CallbackRunning(uint256 jobId);
    /// @notice Results are delivered when the job is Final: a dispute may still change it.
    error JobNotFinal(uint256 jobId, IJobs.JobState state);
    /// @notice The job has not ended without a result.
    error JobNotFailed(uint256 jobId, IJobs.JobState state);
    /// @notice The output must be whole tokens of 4 bytes, no more of them than a transaction can carry.
    error OutputNotTokens(uint256 bytesGiven);
    /// @notice Units, output and trace root do not give the result that was agreed on.
    error ResultMismatch(uint256 jobId, bytes32 agreed, bytes32 given);
    /// @notice The callback could not be given all of its gas; send the transaction with more.
    error TooLittleGas(uint256 gasLeft, uint256 gasNeeded);

    /// @notice Asks for a callback about a job. By the job's requester, which must be a contract whose constructor has ended.
    /// @param callbackGas what the callback may use, 1 to `maxCallbackGas`
    function register(uint256 jobId, uint32 callbackGas) external;

    /// @notice Gives a callback more gas, or less. By its consumer, until it has succeeded.
    function setCallbackGas(uint256 jobId, uint32 callbackGas) external;

    /// @notice Calls `onResult` with the output of a Final job. By anyone who knows it: everything is checked against the
    /// result hash that the replicas agreed on. Reverts where too little gas is left to give the callback all of its own.
    /// @param units, traceRoot as the replicas revealed them
    /// @param output the tokens, each as unsigned 32-bit little-endian integer
    /// @return succeeded whether the callback did; if not, this may be called again
    function deliver(uint256 jobId, uint32 units, bytes32 traceRoot, bytes calldata output)
        external
        returns (bool succeeded);

    /// @notice Calls `onFailure` about a job that is Failed, Cancelled or Overturned. By anyone.
    function deliverFailure(uint256 jobId) external returns (bool succeeded);

    /// @notice All zero where nobody registered.
    function callbackOf(uint256 jobId) external view returns (Callback memory);

    /// @notice The market whose jobs are told about.
    function market() external view returns (IJobMarket);

    /// @notice The most gas that a callback may ask for.
    function maxCallbackGas() external view returns (uint32);
}
