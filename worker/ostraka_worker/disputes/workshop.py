"""Finding out who was right: the model's blocks, a trace that fits the question, and a replay. Everything is kept until the node ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from ostraka.chain import Court
from ostraka.chain.court_views import Question, Verdict
from ostraka.cli.progress import transfer
from ostraka.client.traces import KeptTrace, fetch_trace, read_terms
from ostraka.crypto.trace import Digests
from ostraka.errors import OstrakaError, Unavailable
from ostraka.model import MAX_MANIFEST_BYTES, AnyManifest, GraphManifest, Manifest, language_model, load_manifest
from ostraka.store import CachedStore, ContentStore, cid_of_digest
from ostraka.types import JobId
from ostraka.wire.grpc_transport import BlockingPeer
from ostraka.wire.messages import GetValues, Values
from ostraka_worker.disputes.replay import Replay, fits, replay
from ostraka_worker.disputes.replay_graph import border_of, replay_graph
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
    _manifests: dict[bytes, AnyManifest] = field(default_factory=dict)
    _trees: dict[bytes, WeightTree] = field(default_factory=dict)
    _replays: dict[Question, Replay | None] = field(default_factory=dict)

    def manifest(self, model_id: bytes) -> AnyManifest:
        if model_id not in self._manifests:
            data = self.store.get(cid_of_digest(model_id), max_bytes=MAX_MANIFEST_BYTES)
            self._manifests[model_id] = load_manifest(data)
        return self._manifests[model_id]

    def load(self, manifest: AnyManifest) -> Load:
        """Blocks by their numbers. One that has to come from afar is told of while it comes."""

        def one(index: int) -> bytes:
            block, come = manifest.blocks[index], 0
            if not isinstance(self.store, CachedStore):
                return self.store.get(block.cid, max_bytes=block.bytes)
            with transfer(f"fetching block {index} of {manifest.name}", log.info) as report:

                def count(size: int) -> None:
                    nonlocal come
                    come += size
                    report(come, block.bytes)

                return self.store.get(block.cid, max_bytes=block.bytes, progress=count)

        return one

    def tree(self, model_id: bytes) -> WeightTree:
        if model_id not in self._trees:
            manifest = language_model(self.manifest(model_id))
            self._trees[model_id] = weight_tree(manifest, self.load(manifest))
        return self._trees[model_id]

    def verdict(self, question: Question) -> Verdict:
        """Raises `Unavailable` while no trace that fits can be had, and what fetching blocks raises."""
        found = self.replay(question)
        return found.verdict(question) if found else Verdict.NOBODY

    def replay(self, question: Question) -> Replay | None:
        if question not in self._replays:
            began = time.monotonic()
            found = self._recompute(question)
            name = f"job {question.job_id} replica {question.loser}"
            log.info("%s: block %d recomputed in %.1f s", name, question.block, time.monotonic() - began)
            while len(self._replays) >= KEPT_REPLAYS:
                self._replays.pop(next(iter(self._replays)))
            self._replays[question] = found
        return self._replays[question]

    def _recompute(self, question: Question) -> Replay | None:
        manifest, trace = self.manifest(question.model_id), self._history(question)
        load = self.load(manifest)

        def tell(text: str) -> None:
            log.warning("job %d replica %d: %s", question.job_id, question.loser, text)

        if isinstance(manifest, GraphManifest):
            borders = trace.digests[question.position]
            packed = self._values(question, borders[: question.block + 1])
            return replay_graph(manifest, load, self.kernel, question, borders, packed, tell)
        return replay(manifest, load, self.kernel, question, trace.digests, trace.terms, tell)

    def _values(self, question: Question, borders: Digests) -> bytes:
        """What crossed one of the borders before the disputed block: this node's own, or what a node of either side shows."""
        for replica in (question.loser, question.winner):
            kept = self.records.values(question.job_id, replica)
            if kept is not None and border_of(borders, kept) is not None:
                return kept
        for replica in (question.loser, question.winner):
            stages = self.court.committed_stages(question.job_id, replica)
            for stage in reversed([s for s in stages if s.start <= question.block]):  # the nearest first
                peer = BlockingPeer(self.court.endpoint(stage.node_id))
                try:
                    asked = GetValues(question.job_id, replica, question.loser)
                    shown = peer.call(asked, Values, TRACE_TIMEOUT_S).packed
                    if border_of(borders, shown) is not None:
                        return shown
                    log.warning("job %d: node %d shows other values than the trace's", question.job_id, stage.node_id)
                except OstrakaError as error:
                    log.info("job %d: node %d: %s", question.job_id, stage.node_id, error)
                finally:
                    peer.close()
        raise Unavailable(
            f"job {question.job_id}: no node of replicas {question.loser} and {question.winner} shows values"
        )

    def _history(self, question: Question) -> KeptTrace:
        input_digest = self.court.job(JobId(question.job_id)).input_digest
        is_text = isinstance(
            self.manifest(question.model_id), Manifest
        )  # an inference draws nothing, so its terms tell nothing
        best: KeptTrace | None = None
        for trace in self._traces(question, input_digest):
            if fits(question, trace.digests, input_digest):
                best = trace
                if trace.terms is not None or not is_text:
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
