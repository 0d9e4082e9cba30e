"""Protocol parameters. A deployment takes one preset; contracts hold the values and are the authority once deployed."""

from __future__ import annotations

from dataclasses import dataclass

from ostraka.errors import ConfigError
from ostraka.types import OSTR


@dataclass(frozen=True)
class Params:
    """One preset. Times are in seconds, shares in basis points (1/10 000)."""

    protocol_fee_bps: int = 200
    orchestrator_fee_bps: int = 300
    lock_multiple: int = 10  # a stage locks this many replica prices while it works
    stake_to_price_ratio: int = 100  # minimum stake, in prices of the largest job a node may serve
    slash_bps: int = 5_000  # of the stake that is left after the job lock is taken
    challenger_bps: int = 3_000  # of what is slashed
    min_window_s: int = 60  # shortest time between submission and commit deadline
    max_window_s: int = 86_400
    reveal_window_s: int = 300
    challenge_window_s: int = 3_600
    response_window_s: int = 900  # each side's clock in a dispute; from a pinpoint to its conclusion
    bond_bps: int = 1_000  # of what one stage locks
    unbonding_period_s: int = 14 * 86_400  # at least twice the longest job with reveal and challenge
    jail_period_s: int = 86_400
    timelock_delay_s: int = 2 * 86_400  # between what the governor proposes and its execution
    seed_delay_blocks: int = 2  # chain blocks between a request for a seed and the one it comes from
    seed_lifetime_blocks: int = 200  # in which it can be read
    round_blocks: int = 1_200  # stakes count for draws from the next round on
    juror_weight: int = 100  # whole tokens of free stake that a juror needs; at least the bond
    jurors: int = 7
    appeal_jurors: int = 15
    seat_s: int = 600  # to draw a committee
    vote_s: int = 3_600
    vote_reveal_s: int = 3_600
    appeal_s: int = 3_600  # after a verdict
    close_s: int = 600  # to carry the last verdict to the court
    proof_s: int = 3_600  # for the other side of a dispute, once one side is shown a wrong product
    juror_bond: int = 10 * OSTR
    appeal_bond: int = 50 * OSTR
    epoch_grace_s: int = 3_600  # after an orchestrator's last deadline, before anyone may settle an epoch
    voucher_thaw_s: int = 86_400  # a receiver has so long to collect what its payer takes back
    callback_gas: int = 1_000_000  # the most that a callback may ask for
    orchestrator_min_stake: int = 10_000 * OSTR  # wei; 64 of them fill all places, until somebody stakes more
    orchestrator_epoch_s: int = (
        3_600  # one order of orchestrators; far longer than it takes to ask for its seed and draw it
    )
    orchestrator_takeover_s: int = 180  # the next in order may match a job that waited so long for its first commit
    orchestrator_places: int = 64
    possession_window_s: int = 3_600  # to answer a possession challenge; well below the unbonding period
    possession_cooldown_s: int = 6 * 3_600  # after an answer, before the same claim may be challenged again
    possession_bond: int = OSTR // 10  # wei; what an answered challenge costs its challenger
    possession_min_slash: int = OSTR  # wei; what an unanswered one costs the node at least
    possession_slash_bps: int = 1_000  # of the operator's whole stake


PRESETS: dict[str, Params] = {
    "main": Params(),
    "test": Params(
        min_window_s=20,
        max_window_s=1_200,
        reveal_window_s=60,
        challenge_window_s=300,
        response_window_s=30,
        unbonding_period_s=7_200,
        timelock_delay_s=60,
        round_blocks=240,
        juror_weight=10,
        seat_s=60,
        vote_s=120,
        vote_reveal_s=60,
        appeal_s=60,
        close_s=20,
        proof_s=60,
        epoch_grace_s=120,
        voucher_thaw_s=600,
        orchestrator_min_stake=1_000 * OSTR,
        orchestrator_epoch_s=600,
        orchestrator_takeover_s=20,
        possession_window_s=120,
        possession_cooldown_s=600,
    ),
    # For a network on one machine: a person is waiting at the screen.
    "local": Params(
        min_window_s=10,
        max_window_s=300,
        reveal_window_s=30,
        challenge_window_s=60,
        response_window_s=8,  # a node recomputes a block and contests within it
        unbonding_period_s=20 * 60,
        jail_period_s=60,
        timelock_delay_s=0,
        seed_delay_blocks=1,
        seed_lifetime_blocks=30,
        round_blocks=30,
        juror_weight=1,
        jurors=3,  # of six nodes four may be parties
        appeal_jurors=5,
        seat_s=15,
        vote_s=15,
        vote_reveal_s=10,
        appeal_s=6,
        close_s=5,
        proof_s=10,
        juror_bond=OSTR,
        appeal_bond=OSTR,
        epoch_grace_s=30,
        voucher_thaw_s=60,
        orchestrator_min_stake=100 * OSTR,
        orchestrator_epoch_s=60,
        orchestrator_takeover_s=10,
        possession_window_s=30,
        possession_cooldown_s=60,
    ),
}


def preset(name: str) -> Params:
    """Raises `ConfigError` naming the presets there are."""
    try:
        return PRESETS[name]
    except KeyError:
        raise ConfigError(f"preset: {name!r} is unknown; choose one of {', '.join(sorted(PRESETS))}") from None
