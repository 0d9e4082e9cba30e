// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {IJobs} from "../interfaces/IJobs.sol";

/// @title EIP-712 structs of docs/protocol.md §5, and the commitment of §6.
library AssignmentLib {
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant STAGE_TYPEHASH = keccak256("Stage(uint64 nodeId,uint16 start,uint16 stop,uint16 workBps)");
    bytes32 private constant ASSIGNMENT_TYPEHASH = keccak256(
        "Assignment(uint256 jobId,uint8 replica,Stage[] stages)Stage(uint64 nodeId,uint16 start,uint16 stop,uint16 workBps)"
    );
    bytes32 private constant SETTLEMENT_TYPEHASH = keccak256(
        "Settlement(uint256 jobId,bytes32 resultHash,Assignment[] replicas)Assignment(uint256 jobId,uint8 replica,Stage[] stages)Stage(uint64 nodeId,uint16 start,uint16 stop,uint16 workBps)"
    );
    bytes32 private constant ATTESTATION_TYPEHASH = keccak256("Attestation(bytes32 assignment,bytes32 commitment)");

    /// @notice `hashStruct(Assignment)`.
    function hashAssignment(uint256 jobId, uint8 replica, IJobs.Stage[] calldata stages)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(ASSIGNMENT_TYPEHASH, jobId, replica, _hashStages(stages)));
    }

    /// @dev Of the words as they stand in calldata, four to a stage. Too large a value in one is no value of a stage: whoever
    /// reads it as such, as a commit and a payment do, is refused.
    function _hashStages(IJobs.Stage[] calldata stages) private pure returns (bytes32 hash) {
        bytes32 typeHash = STAGE_TYPEHASH;
        assembly ("memory-safe") {
            let stage := mload(0x40)
            let hashes := add(stage, 0xa0)
            mstore(stage, typeHash)
            for { let i := 0 } lt(i, stages.length) { i := add(i, 1) } {
                calldatacopy(add(stage, 0x20), add(stages.offset, shl(7, i)), 0x80)
                mstore(add(hashes, shl(5, i)), keccak256(stage, 0xa0))
            }
            hash := keccak256(hashes, shl(5, stages.length))
        }
    }

    /// @notice What is signed for `structHash` in the domain of `market`.
    function digestIn(address market, bytes32 structHash) internal view returns (bytes32) {
        bytes32 domain =
            keccak256(abi.encode(DOMAIN_TYPEHASH, keccak256("Ostraka"), keccak256("1"), block.chainid, market));
        return MessageHashUtils.toTypedDataHash(domain, structHash);
    }

    /// @notice `hashStruct(Attestation)`.
    function hashAttestation(bytes32 assignment, bytes32 commitment) internal pure returns (bytes32) {
        return keccak256(abi.encode(ATTESTATION_TYPEHASH, assignment, commitment));
    }

    /// @notice `hashStruct(Settlement)`, over the `hashStruct(Assignment)` of every replica.
    function hashSettlement(uint256 jobId, bytes32 resultHash, bytes32[] memory assignments)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(
            abi.encode(SETTLEMENT_TYPEHASH, jobId, resultHash, keccak256(abi.encodePacked(assignments)))
        );
    }

    /// @notice What the market stores of a commit: a head, then 216 bits of hash.
    function seal(uint40 head, bytes32 assignment, bytes32 commitment) internal pure returns (bytes32) {
        uint256 hash = uint256(keccak256(abi.encode(assignment, commitment)));
        return bytes32(uint256(head) << 216 | hash >> 40);
    }

    /// @notice Operator id of the lead, and how many stages stand behind its own.
    function sealHead(uint32 lead, uint256 followers) internal pure returns (uint40) {
        return uint40(lead) << 8 | uint40(followers);
    }

    /// @notice The head of a seal.
    function headOf(bytes32 sealed_) internal pure returns (uint40) {
        return uint40(uint256(sealed_) >> 216);
    }

    /// @notice Salted, and bound to sender, job, replica, contract and chain: it opens for nobody else, nowhere else.
    function hashCommitment(
        uint256 jobId,
        uint8 replica,
        address sender,
        bytes32 resultHash,
        bytes32 traceRoot,
        bytes32 salt
    ) internal view returns (bytes32) {
        bytes32 domain = keccak256(abi.encode("ostraka/commit/1", block.chainid, address(this)));
        return keccak256(abi.encode(domain, jobId, replica, sender, resultHash, traceRoot, salt));
    }
}
