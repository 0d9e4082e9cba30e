from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest
import redis
from eth_account import Account
from eth_account.messages import encode_defunct
from fastapi.testclient import TestClient

from ostraka.crypto.keys import new_key
from ostraka.errors import BadFrame, BadSignature
from ostraka_orchestrator import api
from ostraka_orchestrator.api import check_heartbeat, make_api
from ostraka_orchestrator.state import NodeEntry, State

KEY = new_key()
STATE = State(nodes={1: NodeEntry("operator", KEY.address, "e")})
NOW = 1_000_000


def test_a_queue_that_is_away_is_a_503_and_no_traceback():
    class Board:
        def __getattr__(self, name):
            raise redis.ConnectionError("connection refused")

    desk = SimpleNamespace(board=Board(), config=SimpleNamespace(queue_url="redis://127.0.0.1:1/0"), sender=KEY)
    metrics = SimpleNamespace(text=lambda: b"", snapshot=dict)
    answer = TestClient(make_api(desk, lambda: STATE, lambda: 0, metrics), raise_server_exceptions=False).get(
        "/v1/nodes"
    )
    assert answer.status_code == 503
    assert answer.json()["error"] == "Unavailable"


def signed(key=KEY, **changes):
    fields = {"node_id": 1, "endpoint": "h:1", "memory_bytes": 10, "speed": 5, "time": NOW, "span": None}
    body = json.dumps({**fields, **changes}).encode()
    return body, Account.sign_message(encode_defunct(body), key.secret).signature.hex()


def test_a_registered_node_is_heard():
    assert check_heartbeat(*signed(), STATE, NOW).node_id == 1


@pytest.mark.parametrize(
    ("beat", "error", "names"),
    [
        (signed(key=new_key()), BadSignature, "signer"),
        ((signed()[0] + b" ", signed()[1]), BadSignature, "signed by"),
        ((signed()[0], "zz"), BadSignature, "no signature"),
        ((b"{}", signed()[1]), BadFrame, "heartbeat"),
        (signed(node_id=2), BadFrame, "not registered"),
        (signed(time=NOW - 31), BadFrame, "clock"),
        (signed(time=NOW + 31), BadFrame, "clock"),
        (signed(speed=0), BadFrame, "speed"),
        (signed(memory_bytes=-1), BadFrame, "memory_bytes"),
        (signed(step_us=-1), BadFrame, "step_us"),
        (signed(positions_left=-1), BadFrame, "positions_left"),
        (signed(surprise=1), BadFrame, "surprise"),
    ],
)
def test_any_other_heartbeat_is_refused_by_name(beat, error, names):
    with pytest.raises(error, match=names):
        check_heartbeat(*beat, STATE, NOW)


def test_a_job_that_was_mined_a_moment_ago_is_found_when_the_service_has_seen_it(monkeypatch):
    """What the service never sees is asked of the chain, which says that there is no such job."""
    monkeypatch.setattr(api, "SOON_S", 0.2)
    seen, asked = SimpleNamespace(jobs={}), []
    desk = SimpleNamespace(market=SimpleNamespace(job_facts=lambda job_id: asked.append(job_id) or "facts"))

    def state():
        looked.append(1)
        if len(looked) == 3:
            seen.jobs[7] = "entry"
        return seen

    looked = []
    assert asyncio.run(api.find_job(desk, state, 7)) == "entry"
    assert asked == []
    assert asyncio.run(api.find_job(desk, state, 8)) == "facts"
    assert asked == [8]
