"""Run by the determinism tests in processes with other settings: prints one hash over every digest of a run.

python digest_of_run.py tiny|MANIFEST_FOLDER kernel threads
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch

from ostraka.model import load_manifest
from ostraka_worker.engine import Stage, generate_on
from ostraka_worker.kernels import pick_kernel


def main(model: str, kernel: str, threads: int) -> None:
    torch.set_num_threads(threads)
    if model == "tiny":
        from tests.worker.engine.tiny import tiny_model

        manifest, files = tiny_model()
        prompt, count, load = [1, *range(3, 60)], 30, files.__getitem__
    else:
        folder = Path(model)
        manifest = load_manifest((folder / "manifest.json").read_bytes())
        prompt, count = [1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519], 6

        def load(index: int) -> Path:
            return folder / f"block-{index:04d}.safetensors"

    chosen, _ = pick_kernel(None if kernel == "auto" else kernel)
    stage = Stage(manifest, 0, len(manifest.blocks), load, chosen)
    tokens, digests = generate_on([stage], prompt, count, [])
    print(hashlib.sha256(np.array(tokens, "<u4").tobytes() + digests.tobytes()).hexdigest())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
