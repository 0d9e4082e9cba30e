"""Every module of the worker can be the first that a program imports."""

from __future__ import annotations

import subprocess
import sys

# One process for all: torch stays, ours go before each.
SCRIPT = """
import importlib, pkgutil, sys
import torch, numpy
import ostraka_worker
names = [m.name for m in pkgutil.walk_packages(ostraka_worker.__path__, "ostraka_worker.") if "native._" not in m.name]
for name in names:
    for loaded in [n for n in sys.modules if n.partition(".")[0] == "ostraka_worker"]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(name, error)
print(len(names) > 50)
"""


def test_no_module_needs_another_to_be_imported_first():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stdout + done.stderr
