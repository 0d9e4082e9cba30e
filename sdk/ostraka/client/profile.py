"""Which network to talk to: one TOML file, each setting overridable from the environment.

::

    [chain]
    url = "http://127.0.0.1:8545"          # OSTRAKA_CHAIN_URL
    ws_url = "ws://127.0.0.1:8545"         # OSTRAKA_CHAIN_WS_URL; optional: where new chain blocks are told of
    deployment = "deployment.json"         # OSTRAKA_DEPLOYMENT, relative to this file
    [orchestrator]
    url = "http://127.0.0.1:8700"          # OSTRAKA_ORCHESTRATOR_URL
    confirmations = 0                      # OSTRAKA_CONFIRMATIONS; optional, as the next: how an orchestrator follows the chain
    reorg_depth = 64                       # OSTRAKA_REORG_DEPTH
    [store]
    url = "file:///var/lib/ostraka/store"  # OSTRAKA_STORE_URL
    [account]
    key = "requester.key"                  # OSTRAKA_KEY, relative to this file

The file is `--profile`, else `OSTRAKA_PROFILE`, else `ostraka.toml` in the current folder or a parent of it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ostraka.errors import ConfigError

FILE_NAME = "ostraka.toml"
_SETTINGS = {
    ("chain", "url"): "OSTRAKA_CHAIN_URL",
    ("chain", "ws_url"): "OSTRAKA_CHAIN_WS_URL",
    ("chain", "deployment"): "OSTRAKA_DEPLOYMENT",
    ("orchestrator", "url"): "OSTRAKA_ORCHESTRATOR_URL",
    ("orchestrator", "confirmations"): "OSTRAKA_CONFIRMATIONS",
    ("orchestrator", "reorg_depth"): "OSTRAKA_REORG_DEPTH",
    ("store", "url"): "OSTRAKA_STORE_URL",
    ("account", "key"): "OSTRAKA_KEY",
}
_NUMBERS = {("orchestrator", "confirmations"): 0, ("orchestrator", "reorg_depth"): 1}  # with the least of each


@dataclass(frozen=True)
class Profile:
    chain_url: str
    deployment: Path
    store_url: str = ""
    orchestrator_url: str = ""
    key: Path | None = None
    chain_ws_url: str = ""  # empty: whoever waits for a chain block asks for it
    confirmations: int | None = None  # chain blocks that must stand on an event; None leaves it to the orchestrator
    reorg_depth: int | None = None  # chain blocks that an orchestrator can undo


def find_profile(start: Path) -> Path | None:
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    return None


def load_profile(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Profile:
    """Raises `ConfigError` naming the setting, the file and what to write."""
    if path is None and environment.get("OSTRAKA_PROFILE"):
        path = Path(environment["OSTRAKA_PROFILE"])
    if path is None:
        path = find_profile(Path.cwd())
    values = _read(path) if path else {}
    base = path.parent if path else Path.cwd()
    for setting, variable in _SETTINGS.items():
        if environment.get(variable):
            values[setting] = environment[variable]
    where = str(path) if path else f"no {FILE_NAME} found"
    for section, name in (("chain", "url"), ("chain", "deployment")):
        if not values.get((section, name)):
            raise ConfigError(
                f"{section}.{name}: not set ({where}); write a profile, set {_SETTINGS[section, name]}, "
                "or start a local network with `ostraka devnet up`"
            )
    ws_url = values.get(("chain", "ws_url"), "")
    if ws_url and not ws_url.startswith(("ws://", "wss://")):
        raise ConfigError(f"chain.ws_url: {ws_url!r} is not a ws(s) address ({where}); correct it, or leave it out")
    key = values.get(("account", "key"))
    return Profile(
        chain_url=values["chain", "url"],
        deployment=base / values["chain", "deployment"],
        store_url=values.get(("store", "url"), ""),
        orchestrator_url=values.get(("orchestrator", "url"), "").rstrip("/"),
        key=base / key if key else None,
        chain_ws_url=ws_url,
        confirmations=_number(values, "confirmations", where),
        reorg_depth=_number(values, "reorg_depth", where),
    )


def _number(values: Mapping[tuple[str, str], str], name: str, where: str) -> int | None:
    value, least = values.get(("orchestrator", name)), _NUMBERS["orchestrator", name]
    if value is None:
        return None
    if not value.isdecimal() or int(value) < least:
        raise ConfigError(f"orchestrator.{name}: {value!r} is no whole number from {least} up ({where}); correct it")
    return int(value)


def _read(path: Path) -> dict[tuple[str, str], str]:
    try:
        parsed = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"profile {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"profile {path}: not TOML ({error})") from error
    values = {}
    for section, entries in parsed.items():
        for name, value in entries.items() if isinstance(entries, dict) else [("", entries)]:
            if (section, name) not in _SETTINGS:
                known = ", ".join(f"{s}.{n}" for s, n in _SETTINGS)
                raise ConfigError(f"profile {path}: {section}.{name} is no setting; there are {known}")
            if (section, name) in _NUMBERS and type(value) is int:
                values[section, name] = str(value)
                continue
            if not isinstance(value, str):
                raise ConfigError(f"profile {path}: {section}.{name} must be a string, got {value!r}")
            values[section, name] = value
    return values
