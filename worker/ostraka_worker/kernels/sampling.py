"""Sampling a token: greedy, or by temperature, top-k and top-p with the job's seed; the same token on every machine.

With t = (logit - largest logit) · (log2 e / temperature), in fp32:

    E_i     = rint(2^30 · 2^t_i)                    whole numbers: the probabilities times one constant; 0 below 2^-31 of the largest
    top-k   keeps the k largest logits, the lowest ids among equals
    top-p   then goes down the logits, equals by id, and keeps tokens as long as those before hold less than p of the rest's sum.
            The sums are integers <= 2^30 · V < 2^48, compared as 1000 · sum < p_milli · total < 2^58
    token   = argmin of -log2(u_i) / E_i over what was kept, the lowest id among equals

The last line is the Gumbel-max trick without its outer logarithm: argmax of log E_i - log(-log u_i) is argmin of -log u_i / E_i, a
race of exponential clocks that token i wins with probability E_i / Σ E. u_i = (2 r_i + 1) / 2^33 with the 32-bit word r_i that `philox`
gives for (seed, position, i); so what else is sampled, in which batch or chunk, on which kernel, changes nothing. One clock's grain
is 2^-33, 1e-5 of the winner's time even among 50,000 equal tokens.

The logarithm is our own: separate fp64 operations, no libm. Its error is below 1e-15.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ostraka.errors import NonFiniteActivation
from ostraka.wire.sampling import TOP_P_ALL_MILLI, Sampling
from ostraka_worker.kernels.philox import Words, token_noise
from ostraka_worker.kernels.scalar import Exp2

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

_LOG2_E_MILLI = np.float64(1442.6950408889634)
_exp2 = Exp2(shift=30)
_EXPONENT_MIN = np.float32(-32)  # below this E is 0: 2^30 · 2^-32 = 1/4

_SQRT_2 = 1.4142135623730951
# log2 f = s · P(s²) with s = (f - 1) / (f + 1), |s| <= 0.172: 2 / ln 2 · (1 + s²/3 + s⁴/5 + …), highest power first.
_LOG2 = tuple(2.8853900817779268 / n for n in range(19, 0, -2))


def greedy(logits: Float32) -> npt.NDArray[np.int32]:
    """fp32 [T, vocab] -> int32 [T]: the largest logit, the lowest id among equals.

    numpy's argmax is specified to return the first of equals. Raises `NonFiniteActivation` for NaN or infinity.
    """
    _check_finite(logits)
    best: npt.NDArray[np.int32] = logits.argmax(axis=1).astype(np.int32)
    return best


def sample(logits: Float32, settings: Sequence[Sampling], positions: Sequence[int]) -> npt.NDArray[np.int32]:
    """fp32 [T, vocab], each row with its session's settings and its own position -> int32 [T]. Raises `NonFiniteActivation`."""
    tokens = greedy(logits)
    for row, (own, position) in enumerate(zip(settings, positions, strict=True)):
        if not own.is_greedy:
            tokens[row] = _draw(logits[row], own, position)
    return tokens


def _check_finite(logits: Float32) -> None:
    if not (np.isfinite(logits.max(axis=1)).all() and np.isfinite(logits.min(axis=1)).all()):
        raise NonFiniteActivation("logits: NaN or infinity; no token may be sampled from them")


def _draw(logits: Float32, settings: Sampling, position: int) -> int:
    ids, weights = candidates(logits, settings)
    clocks = minus_log2(token_noise(ids, position, settings.seed))
    clocks /= weights
    return int(ids[clocks.argmin()])


def candidates(logits: Float32, settings: Sampling) -> tuple[Ids, npt.NDArray[np.int64]]:
    """The tokens that may be drawn, ascending, and their weights E."""
    with np.errstate(over="ignore"):  # minus infinity is as good as the least exponent
        t = logits - logits.max()
        t *= np.float32(_LOG2_E_MILLI / settings.temperature_milli)
    np.maximum(t, _EXPONENT_MIN, out=t)
    weights = np.rint(_exp2(t)).astype(np.int64)
    ids = np.flatnonzero(weights)
    if 0 < settings.top_k < len(ids):
        ids = np.sort(_descending(logits, _at_least(logits, ids, settings.top_k))[: settings.top_k])
    if settings.top_p_milli < TOP_P_ALL_MILLI:
        ids = np.sort(_top_p(logits, weights, ids, settings.top_p_milli))
    return ids, weights[ids]


def _top_p(logits: Float32, weights: npt.NDArray[np.int64], ids: Ids, top_p_milli: int) -> Ids:
    limit = top_p_milli * int(weights[ids].sum())
    count = 256
    while True:
        # Seldom are all tokens needed, and sorting them is slow: sort the largest, and more if they do not hold enough.
        order = _descending(logits, _at_least(logits, ids, count) if count < len(ids) else ids)
        own = weights[order]
        before = np.cumsum(own) - own
        if len(order) == len(ids) or TOP_P_ALL_MILLI * int(before[-1] + own[-1]) >= limit:
            return order[TOP_P_ALL_MILLI * before < limit]
        count *= 8


def _at_least(logits: Float32, ids: Ids, count: int) -> Ids:
    """Those of `ids` whose logit is at least the `count`-th largest, in the same order; `count` < len(ids)."""
    own = logits[ids]
    kept: Ids = ids[own >= np.partition(own, len(own) - count)[len(own) - count]]
    return kept


def _descending(logits: Float32, ids: Ids) -> Ids:
    """Ascending `ids` by logit, largest first, lowest id first among equals."""
    return ids[np.argsort(-logits[ids], kind="stable")]


def minus_log2(words: Words) -> Float64:
    """-log2((2 r + 1) / 2^33) for 32-bit words r, fp64, positive."""
    odd = (words + words + np.uint64(1)).astype(np.float64)
    bits = odd.view(np.int64)
    exponent = (bits >> 52) - 1023
    fraction = ((bits & ((1 << 52) - 1)) | (1023 << 52)).view(np.float64)  # in [1, 2)
    above = fraction > _SQRT_2
    fraction[above] *= 0.5
    exponent += above
    s = (fraction - 1.0) / (fraction + 1.0)
    square = s * s
    y = square * _LOG2[0]
    for coefficient in _LOG2[1:-1]:
        y += coefficient
        y *= square
    y += _LOG2[-1]
    y *= s
    clock: Float64 = (33 - exponent).astype(np.float64) - y
    return clock
