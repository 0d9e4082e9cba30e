// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {ConsumerBase} from "../consumer/ConsumerBase.sol";
import {IJobs} from "../interfaces/IJobs.sol";
import {IOstrakaToken} from "../interfaces/IOstrakaToken.sol";
import {IResultInbox} from "../interfaces/IResultInbox.sol";

/// @title An example: has texts judged by a model, and keeps the verdicts for other contracts to read.
/// @notice The prompt asks for one word. The chain knows tokens, not words, so the two that count are named at deployment.
contract SentimentOracle is ConsumerBase {
    using SafeERC20 for IOstrakaToken;

    enum Sentiment {
        None,
        Asked,
        Positive,
        Negative,
        Unclear,
        Failed
    }

    /// @dev Twice what the callback takes; one that runs out costs a second delivery.
    uint32 public constant CALLBACK_GAS = 60_000;

    address public immutable owner;
    bytes32 public immutable modelId;
    address public immutable orchestrator;
    uint32 public immutable positiveToken;
    uint32 public immutable negativeToken;

    /// @notice By the digest of the job's input, docs/protocol.md §2.
    mapping(bytes32 inputDigest => Sentiment) public sentimentOf;
    mapping(uint256 jobId => bytes32 inputDigest) public askedBy;

    event Judged(bytes32 indexed inputDigest, Sentiment sentiment);

    error NotOwner(address caller, address owner);
    error AlreadyAsked(bytes32 inputDigest);

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender, owner);
        _;
    }

    constructor(
        IResultInbox inbox_,
        bytes32 modelId_,
        address orchestrator_,
        uint32 positiveToken_,
        uint32 negativeToken_
    ) ConsumerBase(inbox_) {
        owner = msg.sender;
        modelId = modelId_;
        orchestrator = orchestrator_;
        positiveToken = positiveToken_;
        negativeToken = negativeToken_;
    }

    /// @notice Asks about an input. Whoever knows it hands it to the orchestrator; its digest is all that the chain needs.
    function ask(bytes32 inputDigest, uint8 replicas, uint32 maxUnits, uint128 priceCap, uint64 deadline)
        external
        onlyOwner
        returns (uint256 jobId)
    {
        Sentiment known = sentimentOf[inputDigest];
        if (known != Sentiment.None && known != Sentiment.Failed) revert AlreadyAsked(inputDigest);

        sentimentOf[inputDigest] = Sentiment.Asked;
        jobId = _ask(
            IJobs.SubmitRequest(modelId, inputDigest, replicas, maxUnits, priceCap, deadline, orchestrator), CALLBACK_GAS
        );
        askedBy[jobId] = inputDigest;
    }

    /// @notice Takes a job back to which nobody has committed.
    function cancel(uint256 jobId) external onlyOwner {
        market.cancel(jobId);
    }

    /// @notice Pays what is left to the owner, refunds included.
    function withdraw() external onlyOwner returns (uint256 amount) {
        _collect();
        amount = token.balanceOf(address(this));
        token.safeTransfer(owner, amount);
    }

    function _onResult(uint256 jobId, bytes calldata output) internal override {
        Sentiment verdict = Sentiment.Unclear;
        if (output.length != 0) {
            uint32 said = _tokenAt(output, 0);
            if (said == positiveToken) verdict = Sentiment.Positive;
            if (said == negativeToken) verdict = Sentiment.Negative;
        }
        _keep(jobId, verdict);
    }

    function _onFailure(uint256 jobId) internal override {
        _keep(jobId, Sentiment.Failed);
    }

    function _keep(uint256 jobId, Sentiment verdict) private {
        bytes32 inputDigest = askedBy[jobId];
        sentimentOf[inputDigest] = verdict;
        emit Judged(inputDigest, verdict);
    }
}
