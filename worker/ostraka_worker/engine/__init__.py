"""Running a model's blocks: `Stage` for a span, `generate_local` for the whole model in one process."""

from ostraka_worker.engine.graph_stage import GraphStage
from ostraka_worker.engine.loading import infer_local, infer_on, load_stage
from ostraka_worker.engine.local import generate_local, generate_on
from ostraka_worker.engine.session import StepRequest, StepResult
from ostraka_worker.engine.span import Load, Progress
from ostraka_worker.engine.stage import Stage

__all__ = [
    "GraphStage",
    "Load",
    "Progress",
    "Stage",
    "StepRequest",
    "StepResult",
    "generate_local",
    "generate_on",
    "infer_local",
    "infer_on",
    "load_stage",
]
