"""The court, the adjudicator and the lot as typed calls, on top of the market."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from ostraka.chain import abi
from ostraka.chain import events as ev
from ostraka.chain.abi import Call
from ostraka.chain.artifacts import artifact
from ostraka.chain.books import Books
from ostraka.chain.court_views import (
    CaseView,
    DisputeState,
    DisputeView,
    JuryRules,
    Question,
    RoundView,
    SeatView,
    Side,
    Verdict,
)
from ostraka.chain.market import Market
from ostraka.chain.rpc import ask
from ostraka.chain.views import RevealView
from ostraka.errors import Unavailable, UsageError


class Court(Market, Books):
    """All contracts of one deployment, with those that judge."""

    # ── disputes ──

    def dispute(self, job_id: int, loser: int) -> DisputeView:
        seen = self._named("DisputeCourt", "dispute", job_id, loser)
        return DisputeView(
            job_id=job_id,
            loser=loser,
            state=DisputeState(seen["state"]),
            verdict=Verdict(seen["verdict"]),
            winner=seen["winner"],
            block=seen["block"],
            position=seen["position"],
            deadline=seen["deadline"],
            challenger=seen["challenger"],
            contester=seen["contester"],
            conflict_bond=seen["conflictBond"],
            contest_bond=seen["contestBond"],
        )

    def court_bond(self, job_id: int) -> int:
        """What a conflict and a contest take."""
        return int(self._read("DisputeCourt", "bondOf", job_id))

    def pinpointed(self, job_id: int, loser: int) -> ev.StagePinpointed:
        """The newest pinpoint of a replica. Raises `UsageError` where there is none."""
        found = [e for e in self.job_events(job_id) if isinstance(e, ev.StagePinpointed) and e.replica == loser]
        if not found:
            raise UsageError(f"job {job_id} replica {loser}: nobody has pinpointed a stage of it")
        return found[-1]

    def pinpoint_proof(self, event: ev.StagePinpointed) -> Mapping[str, Any]:
        """The proof that a pinpoint carried, out of its transaction: directly, or within a call that another contract passed on.

        Raises `Unavailable` where the transaction's bytes do not hold it.
        """
        sent = ask(self.web3, "eth_getTransactionByHash", "0x" + event.transaction.hex())
        data = bytes.fromhex(sent["input"][2:])
        pinpoint = abi.function("DisputeCourt", "pinpoint", 1)
        at = data.find(pinpoint.selector)
        while at >= 0:
            with suppress(Exception):  # other bytes that happen to look like the selector
                proof = abi.by_name(pinpoint.inputs[0], pinpoint.arguments(data[at:])[0])
                if (proof["jobId"], proof["loser"]) == (event.job_id, event.replica):
                    return proof
            at = data.find(pinpoint.selector, at + 1)
        raise Unavailable(
            f"job {event.job_id} replica {event.replica}: the pinpoint's transaction does not show its proof"
        )

    def contest(self, proof: Mapping[str, Any]) -> Call:
        """With the pinpoint's own proof. Takes `court_bond`, which must be approved to the DisputeCourt."""
        return self._call("DisputeCourt", "contest", dict(proof))

    def respond(
        self,
        job_id: int,
        loser: int,
        winner: RevealView,
        previous: bytes,
        digests: Sequence[bytes],
        proof: Sequence[bytes],
    ) -> Call:
        result = (winner.units, winner.output_digest, winner.trace_root)
        return self._call("DisputeCourt", "respond", job_id, loser, result, previous, list(digests), list(proof))

    def timeout(self, job_id: int, loser: int) -> Call:
        """Ends a conflict whose running clock is out."""
        winner = self.dispute(job_id, loser).winner
        return self._call("DisputeCourt", "timeout", job_id, loser, self._sealed(job_id, winner))

    def punish_winner(self, job_id: int, loser: int, winner: int) -> Call:
        """Another winner than the one that was judged: it had the same wrong row."""
        return self._call("DisputeCourt", "punishWinner", job_id, loser, winner, self._sealed(job_id, winner))

    def winners(self, job_id: int) -> list[int]:
        """Replicas with the agreed result."""
        agreed = [e for e in self.job_events(job_id) if isinstance(e, ev.JobAgreed)]
        return [r for r in range(8) if agreed and agreed[-1].winners >> r & 1]

    # ── cases ──

    def case(self, dispute: int) -> CaseView | None:
        """None where the adjudicator was not asked."""
        seen = self._named("Adjudicator", "caseOf", dispute)
        if not seen["jobId"]:
            return None
        return CaseView(
            dispute_id=dispute,
            job_id=seen["jobId"],
            loser=seen["loser"],
            winner=seen["winner"],
            block=seen["block"],
            deadline=seen["deadline"],
            rule_at=seen["ruleAt"],
            guilty=seen["guilty"],
            posted=seen["posted"],
            round=seen["round"],
            closed=seen["closed"],
            verdict=Verdict(seen["verdict"]),
            model_id=bytes(seen["modelId"]),
        )

    def question(self, event: ev.CaseOpened) -> Question:
        entry = next(e for e in artifact("Adjudicator")["abi"] if e.get("name") == "CaseOpened")
        asked = abi.by_name(next(i for i in entry["inputs"] if i["name"] == "question"), event.question)
        return Question(
            dispute_id=event.dispute_id,
            job_id=asked["jobId"],
            model_id=bytes(asked["modelId"]),
            loser=asked["loser"],
            winner=asked["winner"],
            position=asked["position"],
            block=asked["block"],
            previous=bytes(asked["previous"]),
            input=bytes(asked["input"]),
            loser_output=bytes(asked["loserOutput"]),
            winner_output=bytes(asked["winnerOutput"]),
        )

    def blames_row(self, dispute: int) -> bool:
        """Whether a verdict against the winner is about the row that all winners share."""
        return bool(self._read("Adjudicator", "blamesRow", dispute))

    def jury_rules(self) -> JuryRules:
        seen = self._named("Adjudicator", "rules")
        return JuryRules(
            seats=seen["seats"],
            appeal_seats=seen["appealSeats"],
            appeal_s=seen["appealSeconds"],
            close_s=seen["closeSeconds"],
            juror_bond=seen["jurorBond"],
            appeal_bond=seen["appealBond"],
        )

    def round(self, dispute: int, number: int) -> RoundView:
        seen = self._named("Adjudicator", "roundOf", dispute, number)
        return RoundView(
            request_id=seen["requestId"],
            seat_by=seen["seatBy"],
            commit_by=seen["commitBy"],
            reveal_by=seen["revealBy"],
            seated=seen["seated"],
            committed=seen["committed"],
            revealed=seen["revealed"],
            too_few=seen["tooFew"],
        )

    def seats(self, dispute: int, number: int) -> list[SeatView]:
        found = []
        for index in range(self.round(dispute, number).seated):
            seen = self._named("Adjudicator", "seatOf", dispute, number, index)
            found.append(SeatView(index, seen["juror"], Verdict(seen["vote"]), bytes(seen["commitment"])))
        return found

    def tally(self, dispute: int, number: int) -> Verdict:
        return Verdict(self._read("Adjudicator", "tally", dispute, number))

    def seed_window(self, request_id: int) -> tuple[int, int]:
        """Chain blocks `[first, last]` in which a transaction can read the seed."""
        seed_block = int(self._read("BlockRandomness", "seedBlockOf", request_id))
        return seed_block + 1, seed_block + int(self._read("BlockRandomness", "lifetimeBlocks"))

    def renew_seed(self, request_id: int) -> Call:
        return self._call("BlockRandomness", "renew", request_id)

    def seat(self, case: CaseView) -> Call:
        loser, winner = (self._sealed(case.job_id, replica) for replica in (case.loser, case.winner))
        return self._call("Adjudicator", "seat", case.dispute_id, loser, winner)

    def commit_vote(self, dispute: int, seat: int, commitment: bytes) -> Call:
        return self._call("Adjudicator", "commitVote", dispute, seat, commitment)

    def reveal_vote(self, dispute: int, seat: int, vote: Verdict, salt: bytes) -> Call:
        return self._call("Adjudicator", "revealVote", dispute, seat, int(vote), salt)

    def appeal(self, dispute: int) -> Call:
        """Takes the appeal bond, which must be approved to the Adjudicator."""
        return self._call("Adjudicator", "appeal", dispute)

    def close_case(self, dispute: int) -> Call:
        return self._call("Adjudicator", "close", dispute)

    def vote_hash(self, dispute: int, number: int, seat: int, sender: str, vote: Verdict, salt: bytes) -> bytes:
        """What `commit_vote` takes: docs/protocol.md §8."""
        place = ["ostraka/vote/1", self.deployment.chain_id, self.deployment.address("Adjudicator")]
        domain = keccak(encode(["string", "uint256", "address"], place))
        kinds = ["bytes32", "uint256", "uint8", "uint256", "address", "uint8", "bytes32"]
        return keccak(encode(kinds, [domain, dispute, number, seat, sender, int(vote), salt]))

    # ── products ──

    def publish_weights(self, model_id: bytes, root: bytes) -> Call:
        return self._call("Adjudicator", "publishWeights", model_id, root)

    def weights_root(self, model_id: bytes) -> tuple[bytes, int]:
        """The root, and the job after which it counts; 32 zero bytes where nothing is published."""
        root, after = self._read("Adjudicator", "weightsOf", model_id)
        return bytes(root), int(after)

    def posted_root(self, dispute: int, side: Side) -> bytes:
        return bytes(self._read("Adjudicator", "traceOf", dispute, int(side)))

    def post_trace(self, case: CaseView, side: Side, root: bytes) -> Call:
        sealed = self._sealed(case.job_id, case.loser if side is Side.LOSER else case.winner)
        return self._call("Adjudicator", "postTrace", case.dispute_id, int(side), root, sealed)

    def prove_leaf(self, dispute: int, side: Side, leaf: tuple[Any, ...]) -> Call:
        """`leaf` as `crypto.weights.leaf` makes it."""
        return self._call("Adjudicator", "proveLeaf", dispute, int(side), leaf)

    # ── the lot ──

    def join_lot(self) -> Call:
        return self._call("Sortition", "join")

    def leave_lot(self) -> Call:
        return self._call("Sortition", "leave")

    def refresh_lot(self, operator: str) -> Call:
        return self._call("Sortition", "refresh", operator)

    def lot_weight(self, operator: str) -> tuple[int, int]:
        """What a draw counts now, and what it counts from the next round on, in whole tokens; zeros for who is not in."""
        now = self._read("Sortition", "weightOf", operator)
        return int(now), int(self._read("Sortition", "nextWeightOf", operator))

    def disputes(self) -> list[tuple[int, int]]:
        """(job, outvoted replica) of every dispute there ever was, the newest first."""
        kinds = (ev.StagePinpointed, ev.ConflictOpened)
        seen = dict.fromkeys((e.job_id, e.replica) for e in self._events(*kinds) if isinstance(e, kinds))
        return list(reversed(seen))

    def _named(self, contract: str, function: str, *arguments: Any) -> dict[str, Any]:
        """A view that returns a struct, by its fields' names: their order is the contract's own affair."""
        values = self._read(contract, function, *arguments)
        return abi.by_name(abi.function(contract, function, len(arguments)).outputs[0], values)
