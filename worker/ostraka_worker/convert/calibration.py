"""What the publisher chooses by measuring: each border's wire format and each layer's KV codecs.

The model that has just been converted reads `TEXT` once, block by block, exactly as a node would. Every border and every layer's keys and
values are coded both ways, and the way with the smaller L2 error is taken; the linear one wins ties. The engine, the errors and the text
are the same everywhere, so two publishers of one model get one manifest.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from ostraka.codec import Array, choose_format, row_format
from ostraka.codec.choose import WIRE_CHOICES, choose
from ostraka.model import BlockKind, LlamaConfig
from ostraka_worker.engine.blocks import Embed, Layer, Part
from ostraka_worker.kernels.dynamic_cache import DYNAMIC, LINEAR, decodings
from ostraka_worker.kernels.gemm import Kernel

log = logging.getLogger(__name__)
Float32 = npt.NDArray[np.float32]

MAX_TOKENS = 256
TEXT = """\
The harbour lies at the end of a long and narrow bay. In the morning the boats come back with the night's catch, and the people of
the town buy it on the quay. By noon the stones are dry, the nets hang in the sun, and only the gulls are still at work.

To make a simple bread you need 500 grams of flour, 350 grams of water, 10 grams of salt and a little yeast. Mix everything, wait for
two hours, fold the dough, and bake it for 40 minutes at 230 degrees. What can go wrong? Too little time, mostly.

In 1687 a book on the motion of bodies was printed in London. It showed that one law moves both the apple and the moon: each body pulls
every other with a force that falls with the square of the distance between them.

def mean(values):
    if not values:
        raise ValueError("no values")
    return sum(values) / len(values)

"Did you see the letter?" she asked. He shook his head. "It was on the table yesterday; now there is only a cup, a key and 3 coins."
"""


class Calibration:
    """Follows a conversion block by block. Needs no more memory than one running layer."""

    def __init__(self, tokenizer_json: bytes, config: LlamaConfig, wire: str, kernel: Kernel) -> None:
        """`wire` is the manifest's format. A wide one is the publisher's own choice and is left alone."""
        ids = Tokenizer.from_str(tokenizer_json.decode()).encode(TEXT, add_special_tokens=False).ids
        self._tokens = np.array(ids[: min(MAX_TOKENS, config.context)], np.int64)
        self._config, self._wire, self._kernel = config, wire, kernel
        self._x = np.empty((0, config.hidden), np.float32)

    def __call__(self, index: int, kind: BlockKind, tensors: dict[str, Array]) -> tuple[dict[str, Array], str]:
        """The block's tensors, with `kv.codec` where it is not linear; and the format behind it, empty for the manifest's."""
        if kind == "head":
            return tensors, ""
        with np.errstate(all="ignore"):
            if kind == "embed":
                x = Embed(tensors, self._config)(self._tokens)
            else:
                tensors, x = self._layer(index, tensors)
            chosen = self._wire
            if self._wire in WIRE_CHOICES:
                chosen = choose_format(x, WIRE_CHOICES)
                log.info("block %d: %s leaves it", index, chosen)
            self._x = row_format(chosen, self._config.hidden).round_trip(x)[1]
        return tensors, "" if chosen == self._wire else chosen

    def _layer(self, index: int, tensors: dict[str, Array]) -> tuple[dict[str, Array], Float32]:
        layer = Layer(tensors, self._config, self._kernel)
        codecs = [_choose_codec(rows) for rows in layer.keys_and_values(self._x)]
        log.info("block %d: keys %s, values %s", index, *("dynamic" if codec else "linear" for codec in codecs))
        if any(codecs):
            tensors = {**tensors, "kv.codec": np.array(codecs, np.uint8)}
            layer = Layer(tensors, self._config, self._kernel)
        count = len(self._x)
        return tensors, layer(self._x, [Part(0, count, 0, count)], [layer.new_cache(count)])


def _choose_codec(rows: Float32) -> int:
    decoded = decodings(rows)
    return {"linear": LINEAR, "dynamic": DYNAMIC}[
        choose(rows, {"linear": decoded[LINEAR], "dynamic": decoded[DYNAMIC]})
    ]
