// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IConsumer} from "../interfaces/IConsumer.sol";
import {IJobMarket} from "../interfaces/IJobMarket.sol";
import {IJobs} from "../interfaces/IJobs.sol";
import {IOstrakaToken} from "../interfaces/IOstrakaToken.sol";
import {IResultInbox} from "../interfaces/IResultInbox.sol";

/// @title What a contract that asks for inference inherits.
/// @notice It holds the tokens that it pays with, is the requester of its jobs, and hears of each once: `_onResult`, or
/// `_onFailure` where there will be none. What the market owes it is fetched with `_collect`.
abstract contract ConsumerBase is IConsumer {
    using SafeERC20 for IOstrakaToken;

    IResultInbox public immutable inbox;
    IJobMarket public immutable market;
    IOstrakaToken public immutable token;

    /// @notice Only the inbox, which checks what it brings, calls back.
    error NotInbox(address caller, address inbox);
    /// @notice The output has `count` tokens, numbered from 0.
    error NoToken(uint256 index, uint256 count);

    modifier onlyInbox() {
        if (msg.sender != address(inbox)) revert NotInbox(msg.sender, address(inbox));
        _;
    }

    constructor(IResultInbox inbox_) {
        inbox = inbox_;
        market = inbox_.market();
        token = market.token();
    }

    /// @inheritdoc IConsumer
    function onResult(uint256 jobId, bytes calldata output) external onlyInbox {
        _onResult(jobId, output);
    }

    /// @inheritdoc IConsumer
    function onFailure(uint256 jobId) external onlyInbox {
        _onFailure(jobId);
    }

    /// @dev Pays `priceCap` from this contract's tokens. `callbackGas` must do for `_onResult` and for `_onFailure`.
    function _ask(IJobs.SubmitRequest memory request, uint32 callbackGas) internal returns (uint256 jobId) {
        token.forceApprove(address(market), request.priceCap);
        jobId = market.submit(request);
        inbox.register(jobId, callbackGas);
    }

    /// @dev Fetches refunds of earlier jobs; 0 where there are none.
    function _collect() internal returns (uint256 amount) {
        if (market.balanceOf(address(this)) != 0) amount = market.withdraw();
    }

    function _tokenAt(bytes calldata output, uint256 index) internal pure returns (uint32) {
        uint256 count = output.length / 4;
        if (index >= count) revert NoToken(index, count);
        bytes calldata four = output[4 * index:4 * index + 4];
        return uint32(uint8(four[0])) | uint32(uint8(four[1])) << 8 | uint32(uint8(four[2])) << 16
            | uint32(uint8(four[3])) << 24;
    }

    function _onResult(uint256 jobId, bytes calldata output) internal virtual;

    function _onFailure(uint256 jobId) internal virtual;
}
