"""A proxy before a JSON-RPC endpoint that loses answers and goes away when a test says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests


class RpcProxy:
    """`lose(method)` true: the request reaches the chain, its answer is lost. `away`: nothing gets through."""

    def __init__(self, target: str) -> None:
        self.lose: Callable[[str], bool] = lambda method: False
        self.away = False
        self.seen: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                method = json.loads(body)["method"]
                proxy.seen.append(method)
                if proxy.away:
                    self.close_connection = True
                    return
                answer = requests.post(target, data=body, headers={"Content-Type": "application/json"}, timeout=30)
                if proxy.lose(method):
                    self.close_connection = True
                    return
                self.send_response(answer.status_code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
