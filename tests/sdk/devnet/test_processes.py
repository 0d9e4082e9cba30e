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
