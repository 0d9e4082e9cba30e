// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Who gets what. Every division rounds down; what rounding leaves over goes to the protocol or is burnt,
/// so that the parts always add up to the whole.
library PayoutLib {
    uint256 internal constant ALL_BPS = 10_000;

    /// @param protocolFee grows by what rounding leaves over
    struct Fees {
        uint256 protocolFee;
        uint256 royalty;
        uint256 orchestratorFee;
    }

    /// @notice `amount × shareBps / 10 000`, rounded down.
    function bps(uint256 amount, uint256 shareBps) internal pure returns (uint256) {
        return amount * shareBps / ALL_BPS;
    }

    /// @notice Takes the fees off a price. `work` is what the stages share.
    function takeFees(uint256 price, uint16 protocolFeeBps, uint16 royaltyBps, uint16 orchestratorFeeBps)
        internal
        pure
        returns (Fees memory fees, uint256 work)
    {
        fees = Fees(bps(price, protocolFeeBps), bps(price, royaltyBps), bps(price, orchestratorFeeBps));
        work = price - fees.protocolFee - fees.royalty - fees.orchestratorFee;
    }

    /// @notice Divides what was slashed. The requester gets no more than `requesterCap`, the rest is burnt.
    function splitSlash(uint256 slashed, uint256 challengerBps, uint256 requesterCap)
        internal
        pure
        returns (uint256 toChallenger, uint256 toRequester, uint256 burnt)
    {
        toChallenger = bps(slashed, challengerBps);
        toRequester = Math.min(slashed - toChallenger, requesterCap);
        burnt = slashed - toChallenger - toRequester;
    }
}
