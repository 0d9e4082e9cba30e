// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// @title For tests: a consumer that takes any callback and does nothing, so that what is left is the inbox's own gas.
contract SilentConsumer {
    function act(address to, bytes calldata what) external {
        (bool done, bytes memory said) = to.call(what);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(said, 32), mload(said))
            }
        }
    }

    fallback() external {}
}
