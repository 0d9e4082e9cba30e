"""Ostraka: a marketplace for AI inference on machines that do not trust each other.

from ostraka import Client

with Client() as client:
    answer = client.generate("smollm2-135m-instruct", "What is the capital of France?", replicas=3)
    for piece in answer:
        print(piece, end="", flush=True)
    print(answer.result_hash, answer.cost, answer.verification)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostraka.client import Client, Generation, Inference, Profile, load_profile

__version__ = "0.1.0"
__all__ = ["Client", "Generation", "Inference", "Profile", "__version__", "load_profile"]


def __getattr__(name: str) -> Any:
    """The client pulls in web3, which takes a second; `import ostraka` alone should not."""
    if name in ("Client", "Generation", "Inference", "Profile", "load_profile"):
        from ostraka import client

        return getattr(client, name)
    raise AttributeError(f"module 'ostraka' has no attribute {name!r}")
