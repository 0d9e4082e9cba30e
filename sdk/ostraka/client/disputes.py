"""Disputes as people see them: what stands, whose move it is, and making a move by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ostraka.chain import Court, Sender
from ostraka.chain.abi import Call
from ostraka.chain.court_views import CaseView, DisputeState, DisputeView, RoundView, SeatView, Verdict
from ostraka.client.cases import Moment, Step, next_call
from ostraka.errors import InsufficientFunds, UsageError
from ostraka.types import OSTR

VOTES = {
    "loser": Verdict.LOSER_GUILTY,
    "winner": Verdict.WINNER_GUILTY,
    "both": Verdict.BOTH_GUILTY,
    "nobody": Verdict.NOBODY,
}


@dataclass(frozen=True)
class Standing:
    """A dispute with its case, as of chain second `now`. `step` is what the case's clerk may do."""

    dispute: DisputeView
    case: CaseView | None
    rounds: list[tuple[RoundView, list[SeatView]]]
    step: Step
    now: int

    @property
    def hint(self) -> str:
        """What can be done now, as a command; what is waited for, where nothing can."""
        d = self.dispute
        place, left = f"{d.job_id} {d.loser}", d.deadline - self.now
        match d.state:
            case DisputeState.NONE:
                return (
                    "no dispute; the orchestrator pinpoints, or the stakes are forfeited when the challenge window ends"
                )
            case DisputeState.OPENED | DisputeState.RESPONDING:
                who = (
                    "the challenger asks or pinpoints"
                    if d.state is DisputeState.OPENED
                    else "a node of the winner answers"
                )
                return f"for {left} s {who}" if left > 0 else f"out of time: ostraka dispute conclude {place}"
            case DisputeState.PINPOINTED if left > 0:
                return f"for {left} s: ostraka dispute contest {place}"
            case DisputeState.SETTLED:
                return "over"
            case DisputeState.ADJUDICATING if left > 0:
                if self.step in (Step.SEAT, Step.RENEW, Step.CLOSE):
                    return f"{self.step.value}: ostraka dispute conclude {place}"
                return f"the jury has the word; an answer counts for {left} s"
        return f"ostraka dispute conclude {place}"


def standing(court: Court, job_id: int, loser: int) -> Standing:
    """Raises `UnknownJob` for a job that is none."""
    court.job(job_id)  # type: ignore[arg-type]
    dispute, case = court.dispute(job_id, loser), None
    case = court.case(dispute.dispute_id)
    now = court.now()
    if case is None:
        return Standing(dispute, None, [], Step.OVER, now)
    rounds = [(court.round(case.dispute_id, n), court.seats(case.dispute_id, n)) for n in range(case.round + 1)]
    current = rounds[-1][0]
    seed = court.seed_window(current.request_id)
    step = next_call(case, current, seed, court.jury_rules(), Moment(now, court.block_number()))
    return Standing(dispute, case, rounds, step, now)


def contest(court: Court, sender: Sender, job_id: int, loser: int) -> int:
    """Contests a pinpoint with its own proof; returns the bond. Raises `UsageError`, `InsufficientFunds`, `TransactionFailed`."""
    seen = standing(court, job_id, loser)
    if seen.dispute.state is not DisputeState.PINPOINTED or seen.now >= seen.dispute.deadline:
        raise UsageError(f"job {job_id} replica {loser}: there is no pinpoint that can be contested now; {seen.hint}")
    bond, held = court.court_bond(job_id), court.token_balance(sender.address)
    if held < bond:
        raise InsufficientFunds(
            f"contester {sender.address}: holds {held / OSTR:g} OSTR, the bond is {bond / OSTR:g}; get more"
        )
    if court.allowance(sender.address, "DisputeCourt") < bond:
        sender.send(court.approve("DisputeCourt", bond))
    sender.send(court.contest(court.pinpoint_proof(court.pinpointed(job_id, loser))))
    return bond


def my_seats(court: Court, account: str, seen: Standing) -> list[SeatView]:
    """Seats of the present round for which `account` may vote: as the operator that was drawn, or as the signer of one of its nodes."""
    if not seen.rounds:
        return []
    node_id = court.node_of_signer(account)
    operators = {account, court.node(node_id).operator} if node_id else {account}
    return [seat for seat in seen.rounds[-1][1] if seat.juror in operators]


def conclude(court: Court, sender: Sender, job_id: int, loser: int) -> str:
    """Makes the next call that anybody may make, and says which. Raises `UsageError` where there is none."""
    seen = standing(court, job_id, loser)
    dispute, late = seen.dispute, seen.now >= seen.dispute.deadline
    case_id, state = dispute.dispute_id, dispute.state
    calls: dict[str, Callable[[], Call]] = {}
    if state is DisputeState.RESOLVED or (state in (DisputeState.PINPOINTED, DisputeState.ADJUDICATING) and late):
        calls["conclude"] = lambda: court.conclude(job_id, loser)
    elif state in (DisputeState.OPENED, DisputeState.RESPONDING) and late:
        calls["timeout"] = lambda: court.timeout(job_id, loser)
    elif state is DisputeState.NONE:
        calls["forfeit"] = lambda: court.forfeit(job_id, loser)
    elif seen.case is not None and seen.step in (Step.SEAT, Step.RENEW, Step.CLOSE):
        case, current = seen.case, seen.rounds[-1][0]
        by_step = {
            Step.SEAT: lambda: court.seat(case),
            Step.RENEW: lambda: court.renew_seed(current.request_id),
            Step.CLOSE: lambda: court.close_case(case_id),
        }
        calls[seen.step.value] = by_step[seen.step]
    for name, call in calls.items():
        sender.send(call())
        return name
    raise UsageError(f"job {job_id} replica {loser}: nothing is to be done now; {seen.hint}")
