"""Blocks that a judge or an auditor lacks come from afar, and are told of while they come."""

from __future__ import annotations

import logging
import os
from types import SimpleNamespace

from ostraka.store import CachedStore, MemoryStore
from ostraka_worker.disputes.workshop import Workshop


def test_a_block_is_told_of_once_while_it_comes(tmp_path, caplog):
    behind, data = MemoryStore(), os.urandom(3 * 10**5)
    block = SimpleNamespace(cid=behind.put(data), bytes=len(data))
    manifest = SimpleNamespace(name="tiny", blocks=[block])
    load = Workshop(None, CachedStore(behind, tmp_path, 10**6), None, None).load(manifest)
    with caplog.at_level(logging.INFO, "ostraka.disputes"):
        assert load(0) == data
        told = [record.getMessage() for record in caplog.records]
        assert load(0) == data, "from disk, which is not worth a word"
    assert told[-1] == "fetching block 0 of tiny: 0.3 of 0.3 MB"
    assert [record.getMessage() for record in caplog.records] == told
