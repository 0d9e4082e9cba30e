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

    struct Callback {
        address consumer;
        uint32 callbackGas;
        CallbackState state;
    }

    event CallbackRegistered(uint256 indexed jobId, address indexed consumer, uint32 callbackGas);
    event CallbackGasChanged(uint256 indexed jobId, uint32 callbackGas);
    event ResultDelivered(uint256 indexed jobId, bool succeeded);
    event FailureDelivered(uint256 indexed jobId, IJobs.JobState ended, bool succeeded);

    error ZeroAddress();
    error NotRequester(uint256 jobId, address caller, address requester);
    error NotContract(address caller);
    error CallbackGasOutOfRange(uint32 callbackGas, uint32 maxCallbackGas);
    error UnitsOutOfRange(uint32 units, uint256 maxUnits);
    error AlreadyRegistered(uint256 jobId);
    error NotRegistered(uint256 jobId);
    error NotConsumer(uint256 jobId, address caller, address consumer);
    error AlreadyDone(uint256 jobId);
    error CallbackRunning(uint256 jobId);
    error JobNotFinal(uint256 jobId, IJobs.JobState state);
    error JobNotFailed(uint256 jobId, IJobs.JobState state);
    error OutputNotTokens(uint256 bytesGiven);
    error ResultMismatch(uint256 jobId, bytes32 agreed, bytes32 given);
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

    function market() external view returns (IJobMarket);

    function maxCallbackGas() external view returns (uint32);
}
