"""The embedded chain: py-evm behind JSON-RPC on loopback.

For trying things out and for tests. It is one process without consensus; it keeps nothing when it stops. Chain blocks carry the
wall clock's time and an empty one is made every second, because deadlines are judged by `block.timestamp` in views too.

    python -m ostraka.devnet.embedded_chain --port 8545 --mnemonic "…" --accounts 12
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHAIN_ID = 1337
GAS_LIMIT = 30_000_000
HD_PATH = "m/44'/60'/0'/0/{}"
BLOCK_INTERVAL_S = 1.0
MAX_REQUEST_BYTES = 4 << 20


def _vm() -> Any:
    from eth.vm.forks.shanghai import ShanghaiVM

    class SameSecondVM(ShanghaiVM):
        """Shanghai, but several chain blocks may share a second, as on rollups: with a chain block for each transaction a busy
        chain's time would otherwise run ahead of the clock, and deadlines would come early."""

        @classmethod
        def validate_header(cls, header: Any, parent_header: Any) -> None:
            if parent_header is not None and header.timestamp == parent_header.timestamp:
                parent_header = parent_header.copy(timestamp=parent_header.timestamp - 1)
            super().validate_header(header, parent_header)

    return SameSecondVM


class EmbeddedChain:
    """An EVM with instant mining. All calls are serialized: py-evm is not thread-safe."""

    def __init__(self, mnemonic: str, accounts: int) -> None:
        from eth_account import Account
        from eth_tester import EthereumTester
        from eth_tester.backends.pyevm.main import PyEVMBackend, get_default_account_state
        from web3 import Web3
        from web3.providers.eth_tester import EthereumTesterProvider

        Account.enable_unaudited_hdwallet_features()
        holders = [Account.from_mnemonic(mnemonic, account_path=HD_PATH.format(i)).address for i in range(accounts)]
        self._rich = holders[0]
        state = {bytes.fromhex(h[2:]): get_default_account_state(overrides={"balance": 10**24}) for h in holders}
        backend = PyEVMBackend(
            genesis_parameters=PyEVMBackend.generate_genesis_params({"gas_limit": GAS_LIMIT}),
            genesis_state=state,
            vm_configuration=((0, _vm()),),
        )
        type(backend.chain).chain_id = CHAIN_ID
        self._tester = EthereumTester(backend=backend)
        self._backend = backend
        provider = EthereumTesterProvider(self._tester)
        web3 = Web3(provider, middleware=[])
        # The provider's own middleware turns eth-tester's snake_case values into JSON-RPC's.
        self._request = provider.request_func(web3, web3.middleware_onion)
        self._lock = threading.Lock()
        self._logs: list[dict[str, Any]] = []

    def _follow_clock(self) -> None:
        chain = self._backend.chain
        parent = chain.get_canonical_head().timestamp
        chain.header = chain.header.copy(timestamp=max(int(time.time()), parent))

    def mine_if_due(self) -> None:
        """An empty chain block, unless this second has one already."""
        with self._lock:
            if int(time.time()) > self._backend.chain.get_canonical_head().timestamp:
                self._follow_clock()
                self._tester.mine_blocks(1)

    def request(self, method: str, params: list[Any]) -> dict[str, Any]:
        if method in ("eth_chainId", "net_version"):  # eth-tester answers these with a constant of its own
            return {"result": CHAIN_ID if method == "eth_chainId" else str(CHAIN_ID)}
        if method in ("eth_call", "eth_estimateGas") and params and "from" not in params[0]:
            # eth-tester charges a view for its gas; other nodes do not. So let it come from somebody who has some.
            params = [{**params[0], "from": self._rich}, *params[1:]]
        with self._lock:
            if method == "eth_getLogs":
                return {"result": self._find_logs(params[0])}
            if method in ("eth_sendRawTransaction", "eth_sendTransaction", "eth_estimateGas", "evm_mine"):
                self._follow_clock()
            answer = dict(self._request(method, params))
            if method == "eth_sendRawTransaction" and answer.get("result"):
                receipt = self._request("eth_getTransactionReceipt", [answer["result"]])["result"]
                self._logs += [_plain(log) for log in receipt["logs"]]
            return answer

    def _find_logs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        """Logs by range, address and topics. eth-tester would look through every chain block; here most are empty."""
        newest = int(self._backend.chain.get_canonical_head().block_number)
        first, last = (_number(query.get(name), newest) for name in ("fromBlock", "toBlock"))
        address = query.get("address") or []
        wanted = {a.lower() for a in ([address] if isinstance(address, str) else address)}
        return [
            log
            for log in self._logs
            if first <= int(log["blockNumber"], 16) <= last
            and (not wanted or log["address"].lower() in wanted)
            and _topics_match(log["topics"], query.get("topics") or [])
        ]


def _number(text: str | None, newest: int) -> int:
    return newest if text in (None, "latest", "pending") else 0 if text == "earliest" else int(str(text), 16)


def _topics_match(topics: list[str], wanted: list[Any]) -> bool:
    """One entry a place: None for anything, a topic, or a list of which one must match."""
    if len(wanted) > len(topics):
        return False
    pairs = zip(topics, wanted, strict=False)
    return all(w is None or t in (w if isinstance(w, list) else [w]) for t, w in pairs)


def _plain(value: Any) -> Any:
    """JSON-RPC writes quantities as hex strings and bytes as 0x strings."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, dict) or hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value]


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
            got = self.chain.request(body["method"], body.get("params") or [])
        except Exception as error:  # whatever py-evm raises is this request's error, not the server's end
            reply["error"] = _error(error)
            return reply
        if got.get("error"):
            reply["error"] = (
                got["error"] if isinstance(got["error"], dict) else {"code": -32000, "message": got["error"]}
            )
        else:
            reply["result"] = _plain(got.get("result"))
        return reply

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _error(error: Exception) -> dict[str, Any]:
    """A revert keeps its data, so that clients can name the contract's custom error.

    eth-tester passes it on only as the printed form of a bytes object inside its message.
    """
    from eth_tester.exceptions import TransactionFailed

    message = str(error)
    if not isinstance(error, TransactionFailed):
        return {"code": -32000, "message": f"{type(error).__name__}: {message}"}
    printed = re.search(r"""b(['"]).*\1""", message, re.DOTALL)
    data = ast.literal_eval(printed.group()) if printed else b""
    return {"code": 3, "message": message if not data else "execution reverted", "data": "0x" + data.hex()}


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
