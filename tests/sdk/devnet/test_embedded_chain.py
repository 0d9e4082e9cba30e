"""The embedded chain's HTTP: requests whole, in pieces, several at once, and what is none."""

from __future__ import annotations

import asyncio
import json

import pytest

from ostraka.devnet.embedded_chain import MAX_REQUEST_BYTES, _Asker


class Chain:
    def request(self, method, params):
        if method == "fail":
            raise RuntimeError("no")
        return [method, *params]


class There(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self):
        super().__init__()
        self.written, self.closed = b"", False

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed


@pytest.fixture
def there():
    return There()


@pytest.fixture
def asker(there):
    asker = _Asker(Chain())
    asker.connection_made(there)
    return asker


def request(value, fields=""):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body


def ask(method, number=1, *params):
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def answers(there):
    """Bodies of what was written, each held against its length."""
    found, left = [], there.written
    while left:
        head, _, left = left.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        found.append(json.loads(left[:length]))
        left = left[length:]
    return found


def test_requests_come_in_pieces_and_several_at_once(asker, there):
    data = request(ask("a", 1, "x")) + request(ask("b", 2))
    for at in range(0, len(data), 7):
        asker.data_received(data[at : at + 7])
    asker.data_received(data)
    wanted = [{"jsonrpc": "2.0", "id": 1, "result": ["a", "x"]}, {"jsonrpc": "2.0", "id": 2, "result": ["b"]}]
    assert answers(there) == wanted * 2
    assert not there.closed


def test_a_list_is_answered_by_a_list_and_a_failure_by_an_error(asker, there):
    asker.data_received(request([ask("a"), ask("fail", 2)]))
    ((first, second),) = answers(there)
    assert first["result"] == ["a"]
    assert "no" in second["error"]["message"]
    assert second["id"] == 2


@pytest.mark.parametrize("body", [b"{", b"5", b"[5]"])
def test_what_is_no_request_is_told_so(asker, there, body):
    asker.data_received(request(body))
    (answer,) = answers(there)
    assert answer["error"]["code"] == -32700


def test_a_connection_is_closed_where_its_program_says_so(asker, there):
    asker.data_received(request(ask("a"), "Connection: close\r\n"))
    assert len(answers(there)) == 1
    assert there.closed


def test_who_waits_to_be_asked_for_a_body_is_asked(asker, there):
    head, _, body = request(ask("a"), "Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    asker.data_received(head + b"\r\n\r\n")
    assert there.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    there.written = b""
    asker.data_received(body)
    assert len(answers(there)) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n",
        f"POST / HTTP/1.1\r\nContent-Length: {MAX_REQUEST_BYTES + 1}\r\n\r\n".encode(),
        b"x" * (MAX_REQUEST_BYTES + 100_000),
    ],
)
def test_other_requests_are_refused(asker, there, data):
    asker.data_received(data)
    assert there.written.startswith(b"HTTP/1.1 4")
    assert there.closed
