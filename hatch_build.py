"""Compiles the C twins while a wheel or an editable install is made. Without a compiler the wheel is pure Python, and slower."""

from __future__ import annotations

import importlib.util
import os
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or os.environ.get("OSTRAKA_NATIVE", "").lower() in ("off", "0", "no"):
            return
        folder = Path(self.root) / "worker/ostraka_worker/native"
        spec = importlib.util.spec_from_file_location("build_native", folder / "build.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if module.build():
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"  # no Python header was used: any Python 3 may load it
            build_data["artifacts"].append("worker/ostraka_worker/native/_exact_*.so")
