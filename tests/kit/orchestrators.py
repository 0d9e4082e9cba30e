"""An orchestrator's HTTP side without the rest: it takes inputs and heartbeats, and tells what a test has it tell."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread


class Teller:
    """`events` may grow while somebody listens; `die` breaks all connections off, as kill -9 does."""

    def __init__(self, account: str = "0xa", refuses: str = "", slow_s: float = 0.0) -> None:
        self.account, self.refuses, self.slow_s = account, refuses, slow_s
        self.inputs: dict[int, bytes] = {}
        self.beats: list[tuple[bytes, str]] = []  # body, signature
        self.events: list[dict] = []
        self.replicas: dict[int, dict] = {}
        self._dead = Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # whoever listened has gone
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def die(self) -> None:
        if not self._dead.is_set():
            self._dead.set()
            self._server.shutdown()
            self._server.server_close()

    def _handler(teller) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                time.sleep(teller.slow_s)
                if self.path == "/healthz":
                    self._answer({"orchestrator": teller.account})
                elif "/events" in self.path:
                    self._stream(int(self.path.partition("after=")[2] or 0))
                else:
                    self._answer({"events": teller.events, "replicas": teller.replicas})

            def do_POST(self) -> None:
                time.sleep(teller.slow_s)
                data = self.rfile.read(int(self.headers["content-length"]))
                if teller.refuses:
                    self._answer({"error": teller.refuses, "message": "so it is"}, 400)
                    return
                if self.path == "/v1/heartbeat":
                    teller.beats.append((data, self.headers["x-ostraka-signature"]))
                else:
                    teller.inputs[int(self.path.split("/")[3])] = data
                self._answer({})

            def _answer(self, value: object, status: int = 200) -> None:
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _stream(self, at: int) -> None:
                self.send_response(200)
                self.end_headers()
                while not teller._dead.is_set():
                    for event in teller.events[at:]:
                        at += 1
                        self.wfile.write(f"id: {at}\ndata: {json.dumps(event)}\n\n".encode())
                        if event.get("type") == "closed":
                            return
                    time.sleep(0.01)
                    self.wfile.write(b": still here\n\n")

        return Handler
