"""The embedded chain: py-evm behind JSON-RPC on loopback.

For trying things out and for tests. It is one process without consensus; it keeps nothing when it stops. Chain blocks carry the
wall clock's time and an empty one is made every second, because deadlines are judged by `block.timestamp` in views too.

    python -m ostraka.devnet.embedded_chain --port 8545 --mnemonic "…" --accounts 12
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ostraka.devnet.evm import EmbeddedChain
from ostraka.devnet.evm_json import error as told

BLOCK_INTERVAL_S = 1.0
MAX_REQUEST_BYTES = 4 << 20


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One write an answer: headers and body apart would each wait 40 ms for the other side's delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    chain: EmbeddedChain

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        if not 0 < length <= MAX_REQUEST_BYTES:
            self.send_error(413)
            return
        try:
            body = json.loads(self.rfile.read(length))
            answer = [self._answer(b) for b in body] if isinstance(body, list) else self._answer(body)
        except ValueError as error:
            answer = {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": str(error)}}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": body.get("id")}
        try:
            reply["result"] = self.chain.request(body["method"], body.get("params") or [])
        except Exception as error:  # whatever py-evm raises is this request's error, not the server's end
            reply["error"] = told(error)
        return reply

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve(port: int, mnemonic: str, accounts: int) -> None:
    """Serves until SIGTERM or SIGINT. Raises `OSError` when the port is taken."""
    chain = EmbeddedChain(mnemonic, accounts)
    handler = type("Handler", (_Handler,), {"chain": chain})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while not stop.wait(BLOCK_INTERVAL_S):
        chain.mine_if_due()
    server.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mnemonic", required=True)
    parser.add_argument("--accounts", type=int, default=12)
    options = parser.parse_args()
    serve(options.port, options.mnemonic, options.accounts)


if __name__ == "__main__":
    main()
