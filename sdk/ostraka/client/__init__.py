"""What developers import: `from ostraka import Client`."""

from ostraka.client.answer import Answer, ReceiptInfo, Verification
from ostraka.client.client import Client, ModelInfo
from ostraka.client.generation import Generation
from ostraka.client.inference import Inference
from ostraka.client.profile import Profile, load_profile
from ostraka.client.reader import Box, Label
from ostraka.client.tab import Tab, TabAnswer

__all__ = [
    "Answer",
    "Box",
    "Client",
    "Generation",
    "Inference",
    "Label",
    "ModelInfo",
    "Profile",
    "ReceiptInfo",
    "Tab",
    "TabAnswer",
    "Verification",
    "load_profile",
]
