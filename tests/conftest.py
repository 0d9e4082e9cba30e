"""Servers that tests share. Each is started on a free loopback port and stopped by its own pid."""

from __future__ import annotations

import os
import time

import pytest
import redis

from ostraka.devnet.processes import Processes, free_port
from ostraka.devnet.queue_server import queue_server

# Nothing is fetched from a model hub: transformers is only compared with, on files that packages ship.
os.environ.setdefault("HF_HUB_OFFLINE", "1")


LOG_LINES = 15  # of each program, with a test that failed


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failed test says what the programs of its network said last: elsewhere their logs are gone by then."""
    report = (yield).get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            running = getattr(value, "processes", value)
            for child in running.children if isinstance(running, Processes) else ():
                report.sections.append((f"log of {child.name}", child.log_end(LOG_LINES)))


@pytest.fixture(scope="session")
def processes(tmp_path_factory):
    running = Processes(tmp_path_factory.mktemp("logs"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def queue_url(processes, tmp_path_factory):
    port = free_port()
    folder = str(tmp_path_factory.mktemp("valkey"))
    command = [queue_server(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    child = processes.start("valkey", command)
    url = f"redis://127.0.0.1:{port}/0"

    def answers() -> bool:
        try:
            return bool(redis.Redis.from_url(url).ping())
        except redis.RedisError:
            return False

    child.wait_until(answers, 20.0)
    return url


@pytest.fixture
def clean_queue_url(queue_url):
    redis.Redis.from_url(queue_url).flushall()
    return queue_url


@pytest.fixture(scope="session")
def chain_url(processes):
    """An embedded chain with its prefunded accounts."""
    from tests.kit.chains import start_chain

    return start_chain(processes)


@pytest.fixture(scope="module")
def web3(chain_url):
    from ostraka.chain.rpc import connect

    return connect(chain_url)


@pytest.fixture
def eventually():
    """Calls a condition until it holds; fails after half a minute, which decides nothing on a machine that is busy."""

    def wait(condition, timeout_s: float = 30.0):
        end = time.monotonic() + timeout_s
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < end, "it did not come true in time"
            time.sleep(0.05)

    return wait
