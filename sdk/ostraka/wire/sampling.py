"""How tokens are drawn: part of what a job asks for, hence of its digest, so that replicas draw alike."""

from __future__ import annotations

import math
import secrets

import msgspec

from ostraka.errors import UsageError

MAX_TEMPERATURE_MILLI = 100_000
TOP_P_ALL_MILLI = 1000
MAX_SEED = (1 << 64) - 1


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whole numbers, in thousandths where the name says so. The default is greedy."""

    temperature_milli: int = 0  # 0: always the likeliest token
    top_k: int = 0  # only the k likeliest tokens; 0: all
    top_p_milli: int = TOP_P_ALL_MILLI  # only the likeliest tokens that together hold this share
    seed: int = 0  # 64 bits; same seed, same answer

    @property
    def is_greedy(self) -> bool:
        return self.temperature_milli == 0

    def check(self, vocab: int) -> None:
        """Raises `UsageError` naming field, value and remedy."""
        limits = {
            "temperature_milli": (0, MAX_TEMPERATURE_MILLI, "0 is greedy, 1000 the model's own distribution"),
            "top_k": (0, vocab, "0 keeps all tokens"),
            "top_p_milli": (1, TOP_P_ALL_MILLI, f"{TOP_P_ALL_MILLI} keeps all tokens"),
            "seed": (0, MAX_SEED, "leave it out to have one drawn"),
        }
        for name, (low, high, meaning) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"sampling.{name}: {value}; use {low} to {high} ({meaning})")
        if self.is_greedy and self != GREEDY:
            raise UsageError(
                "sampling.temperature_milli: 0 is greedy, where top_k, top_p_milli and seed mean nothing; "
                "leave them out or raise the temperature"
            )


GREEDY = Sampling()


def make_sampling(
    temperature: float = 0.0, top_p: float | None = None, top_k: int | None = None, seed: int | None = None
) -> Sampling:
    """From what a person writes. Draws a seed where one is needed and none is given.

    Raises `UsageError` naming the argument; what depends on the vocabulary, `Sampling.check` finds.
    """
    shares = {"temperature": temperature, "top_p": 1.0 if top_p is None else top_p}
    for name, value in shares.items():
        if not math.isfinite(value) or value < 0:
            raise UsageError(f"{name}: {value}; use a number of 0 or more, in steps of 0.001")
        if value and round(value * 1000) == 0:
            raise UsageError(f"{name}: {value} is below the smallest step; use 0.001 or more")
    temperature_milli = round(temperature * 1000)
    if not temperature_milli:
        given = {"top_p": top_p, "top_k": top_k, "seed": seed}
        for name, option in given.items():
            if option is not None:
                raise UsageError(f"{name}: {option} means nothing at temperature 0, which is greedy; set a temperature")
        return GREEDY
    return Sampling(
        temperature_milli=temperature_milli,
        top_k=top_k or 0,
        top_p_milli=round(shares["top_p"] * 1000),
        seed=secrets.randbits(64) if seed is None else seed,
    )
