"""What one process alone says: the yardstick for every network."""

from __future__ import annotations

import functools
import subprocess
import sys

MODEL = "smollm2-135m-instruct"


@functools.cache
def alone(prompt: str, max_tokens: int, *options: str) -> tuple[str, str]:
    """Text and result hash, as `ostraka run local … --digest` with `options` prints them. An empty prompt is not given."""
    command = [sys.executable, "-m", "ostraka.cli", "run", "local", MODEL]
    command += [*(["--prompt", prompt] if prompt else []), "--max-tokens", str(max_tokens), "--digest", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    text, digest = done.stdout.strip().rsplit("\n", 1)
    return text, digest
