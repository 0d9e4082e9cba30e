"""A queue's server is ready when it takes commands, not when its log has said so once."""

from __future__ import annotations

import socket
import threading

from ostraka.devnet.processes import free_port
from ostraka.devnet.queue_server import answers


def test_one_that_answers(queue_url):
    assert answers(int(queue_url.rpartition(":")[2].partition("/")[0]))


def test_none_there():
    assert not answers(free_port())


def test_one_that_still_reads_its_data():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def load() -> None:
            there, _ = server.accept()
            with there:
                there.recv(64)
                there.sendall(b"-LOADING Redis is loading the dataset in memory\r\n")

        threading.Thread(target=load).start()
        assert not answers(server.getsockname()[1])
