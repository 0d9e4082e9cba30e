"""Recomputing a disputed block from nothing but the model and a trace.

A trace names each token by its hash, and a vocabulary is small enough to find the token again. So whoever has the blocks can compute
every row that went into the disputed one; the parties need not be asked for rows, and cannot withhold or forge any. Blocks are fetched
and run one at a time, over all positions in one prefill.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ostraka.chain.court_views import Question, Verdict
from ostraka.crypto.trace import Digests, chain
from ostraka.model import Manifest
from ostraka.wire.job_input import JobTerms
from ostraka.wire.sampling import GREEDY
from ostraka_worker.disputes.tap import TapKernel
from ostraka_worker.engine.session import Rows, StepResult
from ostraka_worker.engine.span import Load
from ostraka_worker.engine.stage import Stage
from ostraka_worker.kernels.gemm import Kernel

_SESSION = b"replay"


@dataclass(frozen=True)
class Replay:
    """What the disputed block gives at the disputed position: the digest of its output, and what it multiplied for it.

    `tap` is None where the model's weights are in no tree that products could be proved under.
    """

    output: bytes
    tap: TapKernel | None = None

    def verdict(self, question: Question) -> Verdict:
        loser, winner = (self.output == stated for stated in (question.loser_output, question.winner_output))
        if loser:
            return Verdict.WINNER_GUILTY
        return Verdict.LOSER_GUILTY if winner else Verdict.BOTH_GUILTY


def fits(question: Question, digests: Digests, input_digest: bytes) -> bool:
    """Whether a trace is the history that the question speaks of: equal up to the position, and in what goes into the block."""
    if len(digests) <= question.position:
        return False
    row = digests[question.position]
    if question.block >= len(row) or row[question.block].tobytes() != question.input:
        return False
    return chain(digests[: question.position], question.model_id, input_digest)[-1] == question.previous


def tokens_of(column: Digests, vocab: int) -> list[int] | None:
    """The tokens whose hashes stand in border 0, uint8 [N, 32]; None where one is no token's."""
    known = {hashlib.sha256(token.to_bytes(4, "little")).digest(): token for token in range(vocab)}
    found = [known.get(digest.tobytes()) for digest in column]
    return None if None in found else found  # type: ignore[return-value]


def replay(
    manifest: Manifest,
    load: Load,
    kernel: Kernel,
    question: Question,
    digests: Digests,
    terms: JobTerms | None,
    report: Callable[[str], None] = lambda text: None,
) -> Replay | None:
    """Runs blocks 0 … `question.block` over positions 0 … `question.position` of a trace that `fits`.

    None where it cannot be told: a token that is none, rows before the block that are not what the model gives (both sides agree on
    them, so their rows are known to nobody else), or a head whose sampling terms are unknown. Raises what loading a block raises.
    """
    count, block = question.position + 1, question.block
    tokens = tokens_of(digests[:count, 0], manifest.arch.vocab)
    is_head = manifest.blocks[block].kind == "head"
    if tokens is None or (is_head and terms is None):
        report("the trace does not tell what was computed")
        return None
    sampled = is_head and terms is not None and question.position >= terms.prompt_tokens - 1
    rows: Rows | None = None
    for index in range(block):
        result = run_block(manifest, index, load, kernel, tokens, rows)
        if not np.array_equal(result.digests[:, 0], digests[:count, index + 1]):
            report(f"the rows behind block {index} are not what the model gives, though both sides agree on them")
            return None
        rows = result.rows
    tap = TapKernel(kernel)
    last = run_block(manifest, block, load, tap, tokens, rows, terms if sampled else None)
    return Replay(last.digests[-1, 0].tobytes(), tap)


def run_block(
    manifest: Manifest,
    index: int,
    load: Load,
    kernel: Kernel,
    tokens: list[int],
    rows: Rows | None,
    terms: JobTerms | None = None,
    sample_from: int | None = None,
) -> StepResult:
    """All positions through one block; with `terms` its head samples from `sample_from` on, for the last where that is None."""
    stage = Stage(manifest, index, index + 1, load, kernel)
    stage.open(_SESSION, len(tokens), terms.sampling if terms else GREEDY)
    first = len(tokens) - 1 if sample_from is None else sample_from
    fed = np.asarray(tokens, np.int64) if index == 0 else None
    return stage.step(_SESSION, 0, fed, rows, first if terms else None)
