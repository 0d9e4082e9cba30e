"""Whether a market's books are right, once all its jobs are closed.

That tokens are conserved an ERC-20 sees to by itself; here what contracts hold is held against what they say they owe, and what came of
each job against what was paid for it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

from ostraka.chain import Deployment
from ostraka.chain import events as ev
from ostraka.chain.views import AccountView

_WHO = ("requester", "orchestrator", "publisher", "operator", "challenger", "contester", "account", "receiver")


class Ledgers(Protocol):
    """What reckoning needs of a market. `ostraka.chain.Market` has it."""

    deployment: Deployment

    def block_number(self) -> int: ...
    def events(self, first: int, last: int) -> Sequence[ev.Event]: ...
    def token_balance(self, account: str) -> int: ...
    def owed(self, account: str) -> int: ...
    def account(self, operator: str) -> AccountView: ...


def reckon(market: Ledgers) -> list[str]:
    """What does not add up, in words; empty where all does. Expects that every job is closed."""
    events = market.events(market.deployment.block_number, market.block_number())
    return [*_jobs(events), *_market(market, events), *_vault(market, events)]


def slashed_twice(events: Iterable[ev.Event]) -> int:
    """Nodes that lost stake more than once in one job."""
    found = Counter((e.job_id, e.node_id) for e in events if isinstance(e, ev.Slashed))
    return sum(count > 1 for count in found.values())


def accounts(events: Iterable[ev.Event], deployment: Deployment) -> list[str]:
    """Everybody whom events name, and the treasury: no one else can be owed anything."""
    named = {getattr(event, name) for event in events for name in _WHO if isinstance(getattr(event, name, None), str)}
    return sorted({*named, deployment.address("Treasury")})


def _jobs(events: Sequence[ev.Event]) -> list[str]:
    """Each escrow goes to stages, into fees and back to the requester; each slash to a challenger, the requester and nobody."""
    escrow = {e.job_id: e.price_cap for e in events if isinstance(e, ev.JobSubmitted)}
    spent: defaultdict[int, int] = defaultdict(int)
    wrong = []
    for event in events:
        if isinstance(event, ev.OperatorPaid | ev.EscrowReturned):
            spent[event.job_id] += event.amount
        elif isinstance(event, ev.FeesPaid):
            spent[event.job_id] += event.protocol_fee + event.royalty + event.orchestrator_fee
        elif isinstance(event, ev.Slashed):
            parts = event.to_challenger + event.to_requester + event.burnt
            if parts != event.amount:
                wrong.append(
                    f"job {event.job_id}: node {event.node_id} lost {event.amount} wei, of which {parts} went somewhere"
                )
    return wrong + [
        f"job {job_id}: {spent[job_id]} wei came of an escrow of {escrow.get(job_id, 0)}"
        for job_id in sorted({*escrow, *spent})
        if spent[job_id] != escrow.get(job_id, 0)
    ]


def _market(market: Ledgers, events: Sequence[ev.Event]) -> list[str]:
    holds = market.token_balance(market.deployment.address("JobMarket"))
    owes = sum(market.owed(account) for account in accounts(events, market.deployment))
    return [] if holds == owes else [f"JobMarket: holds {holds} wei and owes {owes}"]


def _vault(market: Ledgers, events: Sequence[ev.Event]) -> list[str]:
    operators = sorted({e.operator for e in events if isinstance(e, ev.Staked | ev.NodeRegistered)})
    positions = {operator: market.account(operator) for operator in operators}
    holds = market.token_balance(market.deployment.address("StakeVault"))
    owes = sum(position.staked + position.unbonding for position in positions.values())
    wrong = [] if holds == owes else [f"StakeVault: holds {holds} wei and owes {owes}"]
    return wrong + [
        f"StakeVault: {position.locked} wei of {operator} are locked, and no job is open"
        for operator, position in positions.items()
        if position.locked
    ]
