"""Who serves which blocks, and which nodes a job goes through. Pure: everything is an argument, randomness is a seed."""

from ostraka_orchestrator.planner.place import place, split
from ostraka_orchestrator.planner.route import choose_routes, work_shares
from ostraka_orchestrator.planner.shape import ModelShape, NodeProfile

__all__ = ["ModelShape", "NodeProfile", "choose_routes", "place", "split", "work_shares"]
