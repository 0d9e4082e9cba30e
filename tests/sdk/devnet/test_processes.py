"""Children live as long as we do: not longer, and not as long as the thread that asked for them."""

from __future__ import annotations

import sys
import threading
import time

from ostraka.devnet.processes import Processes


def test_a_child_outlives_the_thread_that_started_it(tmp_path):
    processes = Processes(tmp_path)
    try:
        thread = threading.Thread(
            target=processes.start, args=("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"])
        )
        thread.start()
        thread.join()
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            assert processes.named("sleeper").alive
            time.sleep(0.05)
        processes.kill("sleeper")
        again = threading.Thread(target=processes.start_again, args=("sleeper",))
        again.start()
        again.join()
        time.sleep(0.5)
        assert processes.named("sleeper").alive
    finally:
        processes.stop()
    assert processes.children == []


def test_whoever_does_not_listen_is_killed_and_named(tmp_path):
    processes = Processes(tmp_path)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    processes.start("listens", [sys.executable, "-c", "import time; time.sleep(60)"])
    child = processes.start("deaf", [sys.executable, "-c", deaf])
    child.wait_until(lambda: "deaf" in child.log_end(), 30)
    assert processes.stop(5.0) == ["deaf"]
    assert not child.alive
