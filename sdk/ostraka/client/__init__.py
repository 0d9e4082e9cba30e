"""What developers import: `from ostraka import Client`."""

from ostraka.client.client import Client, ModelInfo
from ostraka.client.generation import Generation, ReceiptInfo, Verification
from ostraka.client.profile import Profile, load_profile

__all__ = ["Client", "Generation", "ModelInfo", "Profile", "ReceiptInfo", "Verification", "load_profile"]
