// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title Who signed. As OpenZeppelin's ECDSA.tryRecover, for signatures in calldata, which are not copied for it.
library SignatureLib {
    uint256 private constant LENGTH = 65;
    /// @dev Half of the curve's order: of the two signatures that everyone can make of one, only that with the lower `s` counts.
    uint256 private constant MAX_S = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    /// @notice The signer of `digest`; the zero address where the bytes are no signature (r, s, v) of anybody.
    function recover(bytes32 digest, bytes calldata signature) internal view returns (address signer) {
        if (signature.length != LENGTH || uint256(bytes32(signature[32:64])) > MAX_S) return address(0);
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, digest)
            mstore(add(free, 0x20), byte(0, calldataload(add(signature.offset, 0x40))))
            calldatacopy(add(free, 0x40), signature.offset, 0x40)
            mstore(0, 0) // the precompile returns nothing for what is no signature
            pop(staticcall(gas(), 1, free, 0x80, 0, 0x20))
            signer := mload(0)
        }
    }
}
