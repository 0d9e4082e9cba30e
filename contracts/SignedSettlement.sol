// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IJobMarket} from "./interfaces/IJobMarket.sol";
import {IJobs} from "./interfaces/IJobs.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {ISignedSettlement} from "./interfaces/ISignedSettlement.sol";
import {AssignmentLib} from "./libraries/AssignmentLib.sol";
import {SignatureLib} from "./libraries/SignatureLib.sol";
import {TraceLib} from "./libraries/TraceLib.sol";

/// @title See ISignedSettlement. It checks who signed; the market checks the job, and pays.
contract SignedSettlement is ISignedSettlement, EIP712 {
    /// @inheritdoc ISignedSettlement
    IJobMarket public immutable market;
    INodeRegistry private immutable _nodes;

    constructor(IJobMarket market_) EIP712("Ostraka", "1") {
        market = market_;
        _nodes = market_.nodes();
    }

    /// @inheritdoc ISignedSettlement
    function settleSigned(
        uint256 jobId,
        IJobs.Result calldata result,
        IJobs.Stage[][] calldata replicas,
        bytes[] calldata signatures
    ) external {
        uint256 expected = 2;
        for (uint256 i = 0; i < replicas.length; ++i) expected += replicas[i].length;
        if (signatures.length != expected) revert SignatureCountWrong(signatures.length, expected);
        bytes32 digest = _digest(jobId, result, replicas);
        uint32[][] memory seats = _seats(jobId, digest, replicas, signatures);

        market.settleAgreed(
            jobId, SignatureLib.recover(digest, signatures[0]), SignatureLib.recover(digest, signatures[1]), result, replicas, seats
        );
    }

    function _digest(uint256 jobId, IJobs.Result calldata result, IJobs.Stage[][] calldata replicas)
        private
        view
        returns (bytes32)
    {
        bytes32[] memory assignments = new bytes32[](replicas.length);
        for (uint8 i = 0; i < replicas.length; ++i) {
            assignments[i] = AssignmentLib.hashAssignment(jobId, i, replicas[i]);
        }
        bytes32 resultHash = TraceLib.resultHash(result.units, result.outputDigest, result.traceRoot);
        return _hashTypedDataV4(AssignmentLib.hashSettlement(jobId, resultHash, assignments));
    }

    /// @dev Operator ids of all stages, whose nodes signed; none stands in two replicas.
    function _seats(
        uint256 jobId,
        bytes32 digest,
        IJobs.Stage[][] calldata replicas,
        bytes[] calldata signatures
    ) private view returns (uint32[][] memory seats) {
        seats = new uint32[][](replicas.length);
        uint256 next = 2;
        for (uint256 i = 0; i < replicas.length; ++i) {
            uint32[] memory ids = new uint32[](replicas[i].length);
            for (uint256 k = 0; k < ids.length; ++k) {
                ids[k] = _operatorOf(replicas[i][k].nodeId, digest, signatures[next++]);
                for (uint256 other = 0; other < i; ++other) _checkSeat(jobId, seats[other], ids[k]);
            }
            seats[i] = ids;
        }
    }

    function _operatorOf(uint64 nodeId, bytes32 digest, bytes calldata signature) private view returns (uint32) {
        address recovered = SignatureLib.recover(digest, signature);
        (uint64 signerOf, uint32 operatorId,) = _nodes.identify(recovered);
        if (signerOf != nodeId || operatorId == 0) revert BadNodeSignature(nodeId, recovered);
        return operatorId;
    }

    function _checkSeat(uint256 jobId, uint32[] memory taken, uint32 operatorId) private pure {
        for (uint256 i = 0; i < taken.length; ++i) {
            if (taken[i] == operatorId) revert OperatorServesTwice(jobId, operatorId);
        }
    }
}
