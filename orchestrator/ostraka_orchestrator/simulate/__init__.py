"""A swarm on paper: thousands of nodes with churn, regions and unlike speeds. docs/simulate.md says what it shares with production.

`World` says what there is, `simulate` what happens, `Report` what came of it; `plot` draws it. No clock, no sockets: the same world gives
the same report.
"""

from ostraka_orchestrator.simulate.engine import simulate
from ostraka_orchestrator.simulate.report import Report
from ostraka_orchestrator.simulate.world import World

__all__ = ["Report", "World", "simulate"]
