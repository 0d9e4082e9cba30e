"""Auditing: recomputing, now and then and when nobody can foresee it, what all replicas of a job agree on.

Which jobs are audited follows from the chain block after the one in which a job was agreed, and from the auditor's own address: no node
knows it when it commits, and auditors do not all look at the same jobs. docs/decisions/0048 says what a finding can do and what it cannot.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from eth_utils.crypto import keccak

from ostraka.chain import Court, Sender
from ostraka.chain import events as ev
from ostraka.chain.court_views import DisputeState, JuryRules, Side, split_id
from ostraka.client.cases import advance
from ostraka.client.traces import fetch_trace
from ostraka.crypto.trace import Digests
from ostraka.errors import OstrakaError, Unavailable
from ostraka.model import Manifest
from ostraka.types import JobId, Stage
from ostraka.wire.job_input import JobTerms
from ostraka_worker.disputes.decide import Part
from ostraka_worker.disputes.defence import Defence
from ostraka_worker.disputes.docket import Docket
from ostraka_worker.disputes.replay import run_block, tokens_of
from ostraka_worker.disputes.workshop import Workshop, log
from ostraka_worker.engine.session import Rows
from ostraka_worker.engine.span import Load
from ostraka_worker.kernels.gemm import Kernel

ALL_BPS = 10_000
OUTSIDER = Part(frozenset(), frozenset({Side.LOSER}))  # speaks for whoever is blamed, but posts nothing in its name


class Finding(msgspec.Struct, frozen=True):
    """The first place at which a replica's trace is not what the model gives: `node_id` computed `block` wrong at `position`."""

    job_id: int
    replica: int
    node_id: int
    position: int
    block: int
    stated: str
    right: str


def drawn(beacon: bytes, job_id: int, auditor: str, rate_bps: int) -> int | None:
    """A number to pick a stage with; None where this auditor is not to look at this job."""
    seed = keccak(beacon + job_id.to_bytes(32, "big") + bytes.fromhex(auditor[2:]))
    if int.from_bytes(seed[:16], "big") * ALL_BPS >= rate_bps << 128:
        return None
    return int.from_bytes(seed[16:], "big")


def first_wrong_digest(
    manifest: Manifest, load: Load, kernel: Kernel, digests: Digests, terms: JobTerms, stop: int
) -> tuple[int, int, bytes] | None:
    """Runs blocks `[0, stop)` over a whole trace: (position, block, right digest) of the first that differs, by position, then by block.

    Raises `Unavailable` where border 0 is no token's, and what loading a block raises.
    """
    tokens = tokens_of(digests[:, 0], manifest.arch.vocab)
    if tokens is None:
        raise Unavailable("trace: its first border holds hashes that are no token's")
    found: list[tuple[int, int, bytes]] = []
    rows: Rows | None = None
    for block in range(stop):
        is_head = manifest.blocks[block].kind == "head"
        result = run_block(
            manifest, block, load, kernel, tokens, rows, terms if is_head else None, terms.prompt_tokens - 1
        )
        wrong = np.flatnonzero((result.digests[:, 0] != digests[:, block + 1]).any(axis=1))
        if len(wrong):
            found.append((int(wrong[0]), block, result.digests[wrong[0], 0].tobytes()))
        rows = result.rows
    return min(found, default=None)


@dataclass
class Auditor:
    """Looks at jobs as they are agreed, and at every pinpoint. Findings are kept as files in `folder`."""

    court: Court
    sender: Sender
    workshop: Workshop
    defence: Defence
    docket: Docket
    rules: JuryRules
    folder: Path
    rate_bps: int
    _next: int = -1
    _waiting: list[ev.JobAgreed] = field(default_factory=list)

    def look(self) -> None:
        """One look at everything. Raises nothing but what the chain's absence raises."""
        self._see_disputes()
        last = self.court.block_number()
        if self._next <= last:
            first = self._next if self._next >= 0 else last
            agreed = self.court.events(first, last, (ev.JobAgreed,))
            self._waiting += [e for e in agreed if isinstance(e, ev.JobAgreed)]
            self._next = last + 1
        ready = [e for e in self._waiting if e.block_number < last]
        self._waiting = [e for e in self._waiting if e.block_number >= last]
        for event in ready:
            beacon = self.court.block_hash(event.block_number + 1)
            pick = drawn(beacon, event.job_id, self.sender.address, self.rate_bps) if beacon else None
            if pick is not None:
                try:
                    self.audit(event.job_id, pick)
                except OstrakaError as error:
                    log.warning("job %d: cannot be audited: %s", event.job_id, error)

    def audit(self, job_id: int, pick: int | None = None) -> Finding | None:
        """Recomputes the agreed trace up to a stage that `pick` chooses; to the end without one. Raises `Unavailable` without a trace."""
        job = self.court.job(JobId(job_id))
        winners = self.court.winners(job_id)
        if not winners:
            raise Unavailable(f"job {job_id}: it is {job.state.name.lower()}, no replicas have agreed")
        replica = winners[0]  # all winners revealed the same trace
        stages = self.court.committed_stages(job_id, replica)
        trace = fetch_trace(self.court, job_id, replica)
        if trace.terms is None:
            raise Unavailable(f"job {job_id}: no node gives the terms it was computed under")
        stop = (stages[-1] if pick is None else stages[pick % len(stages)]).stop
        manifest = self.workshop.manifest(job.model_id)
        if not isinstance(manifest, Manifest):
            raise Unavailable(
                f"model {manifest.name}: what goes into it is shown to judges only, so nobody can audit it"
            )
        load = self.workshop.load(manifest)
        wrong = first_wrong_digest(manifest, load, self.workshop.kernel, trace.digests, trace.terms, stop)
        if wrong is None:
            log.info("job %d: blocks [0, %d) are as the model gives them", job_id, stop)
            return None
        position, block, right = wrong
        stated = trace.digests[position, block + 1].tobytes().hex()
        finding = Finding(job_id, replica, node_of(stages, block), position, block, stated, right.hex())
        self._keep(finding)
        return finding

    def _keep(self, finding: Finding) -> None:
        log.error("job %d: node %d computed block %d wrong", finding.job_id, finding.node_id, finding.block)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"job-{finding.job_id}.json"
        path.with_suffix(".tmp").write_bytes(msgspec.json.format(msgspec.json.encode(finding), indent=2) + b"\n")
        os.replace(path.with_suffix(".tmp"), path)

    def _see_disputes(self) -> None:
        """Every pinpoint is recomputed, drawn or not: whoever is blamed wrongly may be asleep, and a contest that is right is paid."""
        self.docket.read()
        for number in sorted(self.docket.open):
            try:
                dispute, case = self.court.dispute(*split_id(number)), self.court.case(number)
                if dispute.contester == self.sender.address and case and not case.closed:
                    advance(self.court, self.sender, number, self.rules)
                if dispute.state is not DisputeState.NONE:
                    self.defence.attend(dispute, OUTSIDER, None, None)
                if dispute.state in (DisputeState.NONE, DisputeState.SETTLED) and (case is None or case.closed):
                    self.docket.open.discard(number)
            except OstrakaError as error:
                log.warning("job %d replica %d: %s", *split_id(number), error)


def node_of(stages: tuple[Stage, ...], block: int) -> int:
    return next(s.node_id for s in stages if s.start <= block < s.stop)
