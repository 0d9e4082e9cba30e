"""A node's own side of a dispute: what `decide` says is done here, each thing so that doing it twice does no harm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ostraka.chain import Court, Sender
from ostraka.chain.court_views import CaseView, DisputeState, DisputeView, JuryRules, Question, Side, Verdict
from ostraka.crypto.merkle import merkle_proof
from ostraka.crypto.trace import chain
from ostraka.crypto.weights import WeightRow, leaf_of, products_root
from ostraka.errors import TransactionFailed
from ostraka.types import JobId, NodeId
from ostraka.wire.grpc_transport import BlockingPeer
from ostraka.wire.messages import GetProducts, Products, encode
from ostraka_worker.disputes.decide import RIGHT, Move, Part, Purse, in_case, in_court
from ostraka_worker.disputes.shown import first_wrong, pack_products, unpack_products
from ostraka_worker.disputes.tap import products_of
from ostraka_worker.disputes.workshop import Workshop, log
from ostraka_worker.faults import Fault

PRODUCTS_TIMEOUT_S = 10.0


@dataclass
class Defence:
    """`limit` is the most that one bond may take of the signer's tokens, in wei; 0 never stakes anything."""

    court: Court
    sender: Sender
    workshop: Workshop
    node_id: NodeId
    limit: int
    fault: Fault
    rules: JuryRules
    _punished: set[tuple[int, int]] = field(default_factory=set)
    _checked: set[tuple[int, Side]] = field(default_factory=set)

    def part(self, dispute: DisputeView) -> Part:
        """Without what recomputing gives."""
        sides = {Side.LOSER: dispute.loser, Side.WINNER: dispute.winner}
        stages = {side: self.court.committed_stages(dispute.job_id, replica) for side, replica in sides.items()}
        mine = {side: [s for s in found if s.node_id == self.node_id] for side, found in stages.items()}
        blamed = frozenset(side for side, own in mine.items() if any(s.start <= dispute.block < s.stop for s in own))
        return Part(frozenset(side for side, own in mine.items() if own), blamed)

    def attend(self, dispute: DisputeView, part: Part, case: CaseView | None, question: Question | None) -> None:
        """One look at a dispute in which this node worked. Raises what the chain, a peer or the store raises."""
        now = self.court.now()
        if part.accused and dispute.state is DisputeState.PINPOINTED and now < dispute.deadline:
            proof = self.court.pinpoint_proof(self.court.pinpointed(dispute.job_id, dispute.loser))
            question = self._question(dispute, proof)
        if part.accused and question is not None:
            part = replace(part, found=self.workshop.verdict(question))
            if self.fault.contests(dispute.job_id):
                part = replace(part, found=RIGHT[min(part.accused)])
        bond, purse = self.court.court_bond(dispute.job_id), self._purse()
        move = in_court(dispute, part, bond, purse, self.sender.address, now)
        if move is Move.CONTEST:
            self._contest(dispute, proof, bond)
        elif move is Move.RESPOND:
            self._respond(dispute)
        elif move is Move.CONCLUDE:
            self._send(dispute, "concluded", self.court.conclude(dispute.job_id, dispute.loser))
        elif dispute.state is DisputeState.SETTLED:
            self._punish_the_others(dispute)
        if case is None or question is None:
            return
        first = self.court.round(case.dispute_id, 0)
        word = self.court.tally(case.dispute_id, 0) if first.seated else Verdict.NONE
        for move in in_case(case, first, word, part, self.rules, purse, now):
            if move is Move.POST and part.was_right is not None:
                self._post(dispute, case, part.was_right, question)
            elif move is Move.CHECK:
                self._check(dispute, case, next(side for side in Side if side not in part.accused), question)
            elif move is Move.APPEAL:
                self._approve("Adjudicator", self.rules.appeal_bond)
                self._send(dispute, "appealed", self.court.appeal(case.dispute_id))

    # ── the court ──

    def _question(self, dispute: DisputeView, proof: Mapping[str, Any]) -> Question | None:
        """What a contest would ask; None where the traces themselves show who is wrong."""
        loser, winner = ([bytes(d) for d in proof[name]] for name in ("loserDigests", "winnerDigests"))
        border = next((i for i, pair in enumerate(zip(loser, winner, strict=False)) if pair[0] != pair[1]), 0)
        if border == 0 or border - 1 != dispute.block:
            return None
        return Question(
            dispute_id=dispute.dispute_id,
            job_id=dispute.job_id,
            model_id=self.court.job(JobId(dispute.job_id)).model_id,
            loser=dispute.loser,
            winner=dispute.winner,
            position=proof["position"],
            block=dispute.block,
            previous=bytes(proof["previous"]),
            input=loser[border - 1],
            loser_output=loser[border],
            winner_output=winner[border],
        )

    def _contest(self, dispute: DisputeView, proof: Mapping[str, Any], bond: int) -> None:
        self._approve("DisputeCourt", bond)
        self._send(dispute, "contested: this node computed right", self.court.contest(proof))

    def _respond(self, dispute: DisputeView) -> None:
        """Any node of the winner has its whole trace."""
        job, records = self.court.job(JobId(dispute.job_id)), self.workshop.records
        revealed, digests = self.court.reveals(job.job_id)[dispute.winner], records.digests(job.job_id, dispute.winner)
        if digests is None:
            log.error("job %d replica %d: its trace is asked for and this node has lost it", job.job_id, dispute.winner)
            return
        row: tuple[bytes, list[bytes], list[bytes]] = (bytes(32), [], [])  # where there is no such row
        if dispute.position < len(digests):
            links = chain(digests, job.model_id, job.input_digest)
            place = dispute.position
            row = (links[place], [d.tobytes() for d in digests[place]], merkle_proof(links[1:], place))
        self._send(dispute, "answered", self.court.respond(job.job_id, dispute.loser, revealed, *row))

    def _punish_the_others(self, dispute: DisputeView) -> None:
        """All winners had the row that was judged wrong; the contester, who gets a share, sees to it."""
        guilty = dispute.verdict in (Verdict.WINNER_GUILTY, Verdict.BOTH_GUILTY)
        if not guilty or dispute.contester != self.sender.address or not self.court.blames_row(dispute.dispute_id):
            return
        for winner in self.court.winners(dispute.job_id):
            if winner != dispute.winner and (dispute.dispute_id, winner) not in self._punished:
                self._punished.add((dispute.dispute_id, winner))
                call = self.court.punish_winner(dispute.job_id, dispute.loser, winner)
                self._send(dispute, f"replica {winner} had the same wrong row: punished", call)

    # ── products ──

    def _post(self, dispute: DisputeView, case: CaseView, side: Side, question: Question) -> None:
        """Only under a root that is the model's: under another, right products could look wrong."""
        found = self.workshop.replay(question)
        if found is None or found.tap is None or not self._provable(case):
            return
        claims = products_of(found.tap)
        if not claims:
            return
        if self.fault.contests(dispute.job_id):
            claims[0] = replace(claims[0], claimed=claims[0].claimed + 1)
        self.workshop.records.save_products(case.dispute_id, side, encode(pack_products(claims)))
        call = self.court.post_trace(case, side, products_root(claims))
        self._send(dispute, f"posted {len(claims)} products", call)

    def _check(self, dispute: DisputeView, case: CaseView, side: Side, question: Question) -> None:
        if (case.dispute_id, side) in self._checked:
            return
        found = self.workshop.replay(question)
        if found is None or found.tap is None or not self._provable(case):
            return
        replica = dispute.loser if side is Side.LOSER else dispute.winner
        stages = self.court.committed_stages(dispute.job_id, replica)
        node = next(s.node_id for s in stages if s.start <= case.block < s.stop)
        peer = BlockingPeer(self.court.endpoint(node))
        try:
            message = peer.call(GetProducts(case.dispute_id, int(side)), Products, PRODUCTS_TIMEOUT_S)
        finally:
            peer.close()
        weights = [matrix.weight for matrix in found.tap.matrices]
        claims = unpack_products(message, weights)
        if not claims or products_root(claims) != self.court.posted_root(case.dispute_id, side):
            log.warning("job %d: node %d shows other products than it posted", dispute.job_id, node)
            return
        wrong = first_wrong(claims, weights)
        if wrong is not None:
            claim, tree = claims[wrong], self.workshop.tree(case.model_id)
            row = WeightRow(case.block, claim.op, claim.row, weights[claim.op][claim.row])
            leaf = leaf_of(row, tree.values, tree.index(case.block, claim.op, claim.row), claims, wrong)
            self._send(dispute, "a wrong product is shown", self.court.prove_leaf(case.dispute_id, side, leaf))
        self._checked.add((case.dispute_id, side))

    def _provable(self, case: CaseView) -> bool:
        root, after = self.court.weights_root(case.model_id)
        if not any(root) or case.job_id <= after:
            return False
        if self.workshop.tree(case.model_id).root != root:
            log.warning(
                "model %s: the weights' root on chain is not the model's; products prove nothing", case.model_id.hex()
            )
            return False
        return True

    # ── money and transactions ──

    def _purse(self) -> Purse:
        return Purse(self.limit, self.court.token_balance(self.sender.address))

    def _approve(self, contract: str, bond: int) -> None:
        if self.court.allowance(self.sender.address, contract) < bond:
            self.sender.send(self.court.approve(contract, max(bond, self.limit)))

    def prepare(self) -> None:
        """Approves what a contest may take, once: in a short response window there is no time for it."""
        if self._purse().affords(1):
            self._approve("DisputeCourt", self.limit)

    def _send(self, dispute: DisputeView, what: str, call: Any) -> None:
        """A refusal usually means that somebody was faster, or that it is too late: both are told by the chain's state."""
        name = f"job {dispute.job_id} replica {dispute.loser}"
        try:
            self.sender.send(call)
        except TransactionFailed as error:
            log.info("%s: not taken: %s (%s)", name, what, error)
        else:
            log.info("%s: %s", name, what)
