"""Hosts of their own for the nodes of a local network, where this machine lets us make them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from benchmarks._hosts import Hosts

from ostraka.errors import Unavailable

LISTEN = (
    "import socket; s = socket.create_server(('{}', 7000)); print('ready', flush=True); s.accept()[0].send(b'here')"
)
CALL = "import socket; print(socket.create_connection(('{}', 7000), 10).recv(4).decode())"


def names() -> str:
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def hosts():
    try:
        with Hosts([50.0, 5.0]) as made:
            yield made
    except Unavailable as error:
        pytest.skip(str(error))


def test_one_host_reaches_another_and_we_reach_both(hosts):
    with subprocess.Popen(
        [*hosts.enter(1), sys.executable, "-c", LISTEN.format(hosts.address(1))], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout.readline() == "ready\n"
        call = [*hosts.enter(0), sys.executable, "-c", CALL.format(hosts.address(1))]
        assert subprocess.run(call, capture_output=True, text=True, check=True).stdout == "here\n"


def test_their_lines_have_the_rate_that_was_asked_for(hosts):
    shaped = subprocess.run(
        [*hosts.enter(1), "tc", "qdisc", "show", "dev", "eth0"], capture_output=True, text=True, check=True
    )
    assert "tbf" in shaped.stdout
    assert "rate 5Mbit" in shaped.stdout


def test_nothing_is_left_of_them(hosts):
    name = hosts.enter(0)[3]
    assert name in names()
    hosts.__exit__(None, None, None)
    assert name not in names()


def test_where_they_cannot_be_had_the_reason_is_told(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="network namespaces cannot be had here"), Hosts([1.0]):
        pass
