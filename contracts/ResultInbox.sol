// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {IConsumer} from "./interfaces/IConsumer.sol";
import {IJobMarket} from "./interfaces/IJobMarket.sol";
import {IJobs} from "./interfaces/IJobs.sol";
import {IResultInbox} from "./interfaces/IResultInbox.sol";
import {TraceLib} from "./libraries/TraceLib.sol";

/// @title See IResultInbox.
contract ResultInbox is IResultInbox {
    /// @dev An output of so many tokens still fits a transaction. No job makes more tokens than it has units.
    uint256 private constant MAX_UNITS = 8_192;
    uint256 private constant TOKEN_BYTES = 4;
    /// @dev The call itself to an account not touched before (2600), one warm write and one event, and some to spare.
    uint256 private constant RESERVED_GAS = 10_000;

    /// @inheritdoc IResultInbox
    IJobMarket public immutable market;
    /// @inheritdoc IResultInbox
    uint32 public immutable maxCallbackGas;

    mapping(uint256 jobId => Callback) private _callbacks;

    constructor(IJobMarket market_, uint32 maxCallbackGas_) {
        if (address(market_) == address(0)) revert ZeroAddress();
        market = market_;
        maxCallbackGas = maxCallbackGas_;
    }

    /// @inheritdoc IResultInbox
    function register(uint256 jobId, uint32 callbackGas) external {
        IJobs.JobView memory job = market.job(jobId);
        if (msg.sender != job.requester) revert NotRequester(jobId, msg.sender, job.requester);
        // A call to an account without code succeeds, and would pass for a delivery.
        if (msg.sender.code.length == 0) revert NotContract(msg.sender);
        if (job.maxUnits > MAX_UNITS) revert UnitsOutOfRange(job.maxUnits, MAX_UNITS);
        if (_callbacks[jobId].state != CallbackState.None) revert AlreadyRegistered(jobId);
        _checkGas(callbackGas);

        _callbacks[jobId] = Callback(msg.sender, callbackGas, CallbackState.Waiting);
        emit CallbackRegistered(jobId, msg.sender, callbackGas);
    }

    /// @inheritdoc IResultInbox
    function setCallbackGas(uint256 jobId, uint32 callbackGas) external {
        Callback memory callback = _due(jobId);
        if (msg.sender != callback.consumer) revert NotConsumer(jobId, msg.sender, callback.consumer);
        _checkGas(callbackGas);

        _callbacks[jobId].callbackGas = callbackGas;
        emit CallbackGasChanged(jobId, callbackGas);
    }

    /// @inheritdoc IResultInbox
    function deliver(uint256 jobId, uint32 units, bytes32 traceRoot, bytes calldata output)
        external
        returns (bool succeeded)
    {
        Callback memory callback = _due(jobId);
        (IJobs.JobState state, bytes32 agreed) = market.outcome(jobId);
        // Agreed is not enough: a court may still find the majority wrong.
        if (state != IJobs.JobState.Final) revert JobNotFinal(jobId, state);
        if (output.length % TOKEN_BYTES != 0 || output.length > MAX_UNITS * TOKEN_BYTES) {
            revert OutputNotTokens(output.length);
        }
        bytes32 given = TraceLib.resultHash(units, TraceLib.digestOfTokens(output), traceRoot);
        if (given != agreed) revert ResultMismatch(jobId, agreed, given);

        succeeded = _call(jobId, callback, abi.encodeCall(IConsumer.onResult, (jobId, output)));
        emit ResultDelivered(jobId, succeeded);
    }

    /// @inheritdoc IResultInbox
    function deliverFailure(uint256 jobId) external returns (bool succeeded) {
        Callback memory callback = _due(jobId);
        (IJobs.JobState ended,) = market.outcome(jobId);
        bool failed = ended == IJobs.JobState.Failed || ended == IJobs.JobState.Cancelled;
        if (!failed && ended != IJobs.JobState.Overturned) revert JobNotFailed(jobId, ended);

        succeeded = _call(jobId, callback, abi.encodeCall(IConsumer.onFailure, (jobId)));
        emit FailureDelivered(jobId, ended, succeeded);
    }

    /// @inheritdoc IResultInbox
    function callbackOf(uint256 jobId) external view returns (Callback memory) {
        return _callbacks[jobId];
    }

    function _due(uint256 jobId) private view returns (Callback memory callback) {
        callback = _callbacks[jobId];
        CallbackState state = callback.state;
        if (state == CallbackState.None) revert NotRegistered(jobId);
        if (state == CallbackState.Done) revert AlreadyDone(jobId);
        if (state == CallbackState.Running) revert CallbackRunning(jobId);
    }

    function _checkGas(uint32 callbackGas) private view {
        if (callbackGas == 0 || callbackGas > maxCallbackGas) {
            revert CallbackGasOutOfRange(callbackGas, maxCallbackGas);
        }
    }

    /// @dev A call gets 63/64 of the gas there is at most. Without the check a deliverer could send just so much that the
    /// callback starves while the rest of this transaction goes through.
    function _call(uint256 jobId, Callback memory callback, bytes memory data) private returns (bool succeeded) {
        (address consumer, uint256 callbackGas) = (callback.consumer, callback.callbackGas);
        Callback storage kept = _callbacks[jobId];
        kept.state = CallbackState.Running;
        uint256 needed = callbackGas + callbackGas / 63 + RESERVED_GAS;
        if (gasleft() < needed) revert TooLittleGas(gasleft(), needed);
        // Not Solidity's call: that copies all that the consumer returns into memory, at the deliverer's cost.
        assembly ("memory-safe") {
            succeeded := call(callbackGas, consumer, 0, add(data, 32), mload(data), 0, 0)
        }
        kept.state = succeeded ? CallbackState.Done : CallbackState.Failed;
    }
}
