"""Finding out who was right: the model's blocks, a trace that fits the question, and a replay. Everything is kept until the node ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from ostraka.chain import Court
from ostraka.chain.court_views import Question, Verdict
from ostraka.client.traces import KeptTrace, fetch_trace, read_terms
from ostraka.errors import OstrakaError, Unavailable
from ostraka.model import MAX_MANIFEST_BYTES, Manifest, load_manifest
from ostraka.store import ContentStore, cid_of_digest
from ostraka.types import JobId
from ostraka_worker.disputes.replay import Replay, fits, replay
from ostraka_worker.disputes.weights import WeightTree, weight_tree
from ostraka_worker.engine.span import Load
from ostraka_worker.kernels.gemm import Kernel
from ostraka_worker.records import Records

log = logging.getLogger("ostraka.disputes")
TRACE_TIMEOUT_S = 10.0
KEPT_REPLAYS = 4  # each holds the weights of a block


@dataclass
class Workshop:
    court: Court
    store: ContentStore
    kernel: Kernel
    records: Records
    _manifests: dict[bytes, Manifest] = field(default_factory=dict)
    _trees: dict[bytes, WeightTree] = field(default_factory=dict)
    _replays: dict[Question, Replay | None] = field(default_factory=dict)

    def manifest(self, model_id: bytes) -> Manifest:
        if model_id not in self._manifests:
            data = self.store.get(cid_of_digest(model_id), max_bytes=MAX_MANIFEST_BYTES)
            manifest = load_manifest(data)
            if not isinstance(manifest, Manifest):
                raise Unavailable(
                    f"model {manifest.name}: only blocks of language models can be recomputed row by row so far"
                )
            self._manifests[model_id] = manifest
        return self._manifests[model_id]

    def load(self, manifest: Manifest) -> Load:
        return lambda index: self.store.get(manifest.blocks[index].cid, max_bytes=manifest.blocks[index].bytes)

    def tree(self, model_id: bytes) -> WeightTree:
        if model_id not in self._trees:
            manifest = self.manifest(model_id)
            self._trees[model_id] = weight_tree(manifest, self.load(manifest))
        return self._trees[model_id]

    def verdict(self, question: Question) -> Verdict:
        """Raises `Unavailable` while no trace that fits can be had, and what fetching blocks raises."""
        found = self.replay(question)
        return found.verdict(question) if found else Verdict.NOBODY

    def replay(self, question: Question) -> Replay | None:
        if question not in self._replays:
            began = time.monotonic()
            manifest, trace = self.manifest(question.model_id), self._history(question)
            name = f"job {question.job_id} replica {question.loser}"
            found = replay(
                manifest,
                self.load(manifest),
                self.kernel,
                question,
                trace.digests,
                trace.terms,
                lambda text: log.warning("%s: %s", name, text),
            )
            log.info("%s: block %d recomputed in %.1f s", name, question.block, time.monotonic() - began)
            while len(self._replays) >= KEPT_REPLAYS:
                self._replays.pop(next(iter(self._replays)))
            self._replays[question] = found
        return self._replays[question]

    def _history(self, question: Question) -> KeptTrace:
        input_digest = self.court.job(JobId(question.job_id)).input_digest
        best: KeptTrace | None = None
        for trace in self._traces(question, input_digest):
            if fits(question, trace.digests, input_digest):
                best = trace
                if trace.terms is not None:
                    break
        if best is None:
            raise Unavailable(
                f"job {question.job_id}: no node of replicas {question.loser} and {question.winner} gives a trace"
            )
        return best

    def _traces(self, question: Question, input_digest: bytes) -> Iterator[KeptTrace]:
        """This node's own first, then others'."""
        sides = (question.loser, question.winner)
        for replica in sides:
            record = self.records.load(question.job_id, replica)
            digests = self.records.digests(question.job_id, replica)
            if record is not None and digests is not None:
                yield KeptTrace(digests, read_terms(record.terms, input_digest))
        for replica in sides:
            try:
                yield fetch_trace(self.court, question.job_id, replica, timeout_s=TRACE_TIMEOUT_S)
            except OstrakaError as error:
                log.info("job %d replica %d: %s", question.job_id, replica, error)
