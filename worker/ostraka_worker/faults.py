"""Deliberate misbehaviour, so that demos and attack tests can show a thief being caught.

A node takes a fault from `--fault KIND[:job=N]`:

- `tamper-activation`: turns the sign of a few channels in every output row (of every number that leaves a graph's part), and hashes the
  changed rows as if they were honest.
- `tamper-and-withhold`: the same, and nobody gets the trace that would show it.
- `tamper-and-contest`: the same, but contests the pinpoint, and shows products of which one is wrong.
- `stall`: stops answering steps.
- `forget-shards`: claims blocks that it does not keep, so it has nothing to show when it is challenged.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from ostraka.errors import ConfigError

KINDS = ("none", "tamper-activation", "tamper-and-withhold", "tamper-and-contest", "stall", "forget-shards")
STALL_S = 3600.0
TAMPERED_VALUES = 64


@dataclass(frozen=True)
class Fault:
    """`job` limits it to one job; None means every job."""

    kind: str = "none"
    job: int | None = None

    @staticmethod
    def parse(text: str | None) -> Fault:
        """Raises `ConfigError` naming the kinds there are."""
        if not text:
            return Fault()
        kind, _, rest = text.partition(":")
        if kind not in KINDS:
            raise ConfigError(f"fault: {kind!r} is unknown; choose one of {', '.join(KINDS)}")
        if not rest:
            return Fault(kind)
        name, _, number = rest.partition("=")
        if name != "job" or not number.isdigit():
            raise ConfigError(f"fault: {rest!r} is not understood; write {kind}:job=2")
        return Fault(kind, int(number))

    def withholds(self, job: int) -> bool:
        return self.kind == "tamper-and-withhold" and self.job in (None, job)

    def contests(self, job: int) -> bool:
        return self.kind == "tamper-and-contest" and self.job in (None, job)

    @property
    def forgets_shards(self) -> bool:
        return self.kind == "forget-shards"

    def apply(self, result: Any, job: int) -> Any:
        """An honest node returns `result` as it is."""
        if self.kind in ("none", "forget-shards") or self.job not in (None, job):
            return result
        if self.kind == "stall":
            time.sleep(STALL_S)
        from ostraka_worker.engine.graph_stage import GraphResult
        from ostraka_worker.sessions import row_digests, token_digests

        if isinstance(result, GraphResult):
            return result.tampered()

        digests = result.digests.copy()
        if result.rows is not None:
            rows = result.rows.copy()
            tail = rows[:, -TAMPERED_VALUES:].view(np.int8)  # both wire formats end with the values
            tail[:] = -tail
            digests[:, -1:] = row_digests(rows)
            return dataclasses.replace(result, rows=rows, digests=digests)
        tokens = result.tokens ^ 1
        if len(tokens):
            digests[-len(tokens) :, -1:] = token_digests(tokens)
        return dataclasses.replace(result, tokens=tokens, digests=digests)
