"""The contracts' events as frozen classes, one for one. Fields are the ABI's names in snake case (a test compares them)."""

from __future__ import annotations

# ruff: noqa: F403  one face for the events of all contracts
import re

from ostraka.chain.events import disputes, inbox, jobs, orchestrators, registries
from ostraka.chain.events.base import Event as Event
from ostraka.chain.events.disputes import *
from ostraka.chain.events.inbox import *
from ostraka.chain.events.jobs import *
from ostraka.chain.events.orchestrators import *
from ostraka.chain.events.registries import *

CLASSES: dict[str, type[Event]] = {
    name: kind
    for module in (registries, orchestrators, jobs, disputes, inbox)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
