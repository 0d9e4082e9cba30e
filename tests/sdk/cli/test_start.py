"""The command line starts at once: whatever takes long to import is imported by the commands that need it."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from ostraka.cli import app, main
from importlib.metadata import entry_points
for point in entry_points(group="ostraka.cli"):
    point.load()
print(sorted({"web3", "torch", "transformers", "fastapi", "celery"} & set(sys.modules)))
"""


def test_help_needs_none_of_the_large_libraries():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
