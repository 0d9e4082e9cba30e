"""JSON-RPC over kept connections: a server that hangs up, one that never answers, and one that is not there."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ostraka.chain import rpc
from ostraka.chain.rpc import Provider
from ostraka.errors import ChainUnreachable


class Server(ThreadingHTTPServer):
    """Answers with the method, except where `quirks`, one a request, say otherwise."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.quirks, self.asked, self.connections = [], [], 0
        self.over = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/key?a=b"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def setup(self):
        super().setup()
        self.server.connections += 1

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, body["method"]))
        quirk = self.server.quirks.pop(0) if self.server.quirks else ""
        if quirk == "silence":
            self.server.over.wait(20)
        data = json.dumps({"jsonrpc": "2.0", "id": 1, "result": body["method"]}).encode()
        self.send_response(503 if quirk == "away" else 200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = quirk == "hang up"

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def asked(provider, method):
    return provider.make_request(method, [])["result"]


def test_a_connection_is_kept_and_one_that_was_hung_up_is_opened_anew(server):
    provider = Provider(server.url, 5.0)
    server.quirks = ["", "hang up", ""]
    for method in ("a", "b", "c", "d"):
        assert asked(provider, method) == method
    assert server.connections == 2
    assert {path for path, _ in server.asked} == {"/key?a=b"}


@pytest.mark.parametrize(("method", "first"), [("eth_estimateGas", 2), ("eth_sendRawTransaction", 1)])
def test_only_a_simulation_that_is_not_answered_is_soon_asked_again(server, monkeypatch, method, first):
    monkeypatch.setattr(rpc, "SIMULATION_S", 0.1)
    server.quirks = ["silence"]
    provider = Provider(server.url, 0.5)
    if first == 1:
        with pytest.raises(ChainUnreachable, match="timed out"):
            asked(provider, method)
    else:
        assert asked(provider, method) == method
    assert len(server.asked) == first


def test_a_node_that_is_busy_is_asked_again_and_one_that_stays_away_is_told(server, monkeypatch):
    monkeypatch.setattr(rpc, "RETRY_S", (0.0,))
    provider = Provider(server.url, 5.0)
    server.quirks = ["away"]
    assert asked(provider, "a") == "a"
    server.quirks = ["away"] * 2
    with pytest.raises(ChainUnreachable, match="HTTP 503"):
        asked(provider, "a")
    with pytest.raises(ChainUnreachable, match="refused"):
        asked(Provider("http://127.0.0.1:9", 5.0), "a")
