from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# The first interruption comes up where Python can only print it: in a destructor.
PROGRAM = """
import os, signal, time
from ostraka.devnet.leaving import heard, leave_on_signals

class Swallows:
    def __del__(self):
        os.kill(os.getpid(), getattr(signal, "{name}"))
        time.sleep(0.2)

leave_on_signals()
one = Swallows()
del one
print("swallowed", flush=True)
try:
    time.sleep(30)
except KeyboardInterrupt:
    heard()
    time.sleep(1.5)
    print("taken down", flush=True)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interruption_that_is_swallowed_comes_again_until_it_is_heard(name):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(name=name)],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "swallowed\ntaken down\n"
    assert "Exception ignored" in done.stderr
