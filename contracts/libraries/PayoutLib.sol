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

    /// @notice What a stage with `workBps` gets of `work`, where all that are paid have `allBps` together. Nothing where they have none.
    function stageShare(uint256 work, uint256 workBps, uint256 allBps) internal pure returns (uint256) {
        return allBps == 0 ? 0 : work * workBps / allBps;
    }

    /// @notice What each of an epoch's `winners` is paid for the jobs that count, fees included, and what its requester gets back.
    function splitEpoch(uint256 escrow, uint256 jobs, uint256 voided, uint256 pricePerJob, uint256 winners)
        internal
        pure
        returns (uint256 price, uint256 refund)
    {
        price = (jobs - voided) * pricePerJob;
        refund = escrow - winners * price;
    }

    /// @notice What is taken for an offence of who has `all` at stake: the lock, and a share of what is there besides. It may be
    /// more than there is where the lock alone is.
    function fraudSlash(uint256 all, uint256 lock, uint256 extraBps) internal pure returns (uint256) {
        return all > lock ? lock + bps(all - lock, extraBps) : lock;
    }

    /// @notice Divides `pot` among `count` jurors. `left` is for the treasury: what rounding leaves over, or all where there is nobody.
    function splitPot(uint256 pot, uint256 count) internal pure returns (uint256 share, uint256 left) {
        share = count == 0 ? 0 : pot / count;
        left = pot - share * count;
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
