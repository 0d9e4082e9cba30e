"""The relay that counts what a chain is asked."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections import Counter

import pytest
from benchmarks._market import relay
from benchmarks._market.load import start_relay

from ostraka.devnet.processes import free_port


@pytest.fixture
def port(processes, chain_url):
    return start_relay(processes, int(chain_url.rpartition(":")[2]))


def body(method):
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": []}).encode()


def test_answers_come_through_and_are_counted_by_method(port):
    for method in ("eth_chainId", "eth_blockNumber", "eth_chainId"):
        request = urllib.request.Request(f"http://127.0.0.1:{port}", body(method), {"content-type": "application/json"})
        answer = json.loads(urllib.request.urlopen(request, timeout=10).read())
        assert "result" in answer
    assert relay.counts(port) == Counter(eth_chainId=2, eth_blockNumber=1)


def test_a_name_cut_in_two_is_counted_once(port):
    data = body("eth_blockNumber")
    head = f"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    middle = data.index(b"Number")
    with socket.create_connection(("127.0.0.1", port), 10) as asked:
        for part in (head.encode(), data[:middle], data[middle : middle + 3], data[middle + 3 :]):
            asked.sendall(part)
            # Each part must arrive by itself.
            relay.counts(port)
        assert b"200" in asked.recv(4_096)
    assert relay.counts(port) == Counter(eth_blockNumber=1)


def test_where_there_is_no_chain_the_connection_ends(processes):
    port = start_relay(processes, free_port())
    with socket.create_connection(("127.0.0.1", port), 10) as asked:
        asked.sendall(body("eth_chainId"))
        assert asked.recv(10) == b""
