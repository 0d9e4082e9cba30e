"""Wire format `int8-b64-t4`: the record of `blocks_top4`, its bytes int8 in [-127, 127].

    byte = rint(value / block scale)        value ≈ byte · block scale

1.059 bytes a value at H = 576. Measured on SmolLM2 with all 29 layer borders quantized: perplexity rises by 0.27 %, and by
1.14 % without the four int16 channels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ostraka.codec.blocks_top4 import BlocksTop4, Values

_ZERO = np.float32(0)


class Int8BlocksTop4(BlocksTop4):
    """See the module's text for the bytes, `ostraka.codec.rows.RowFormat` for the methods."""

    name = "int8-b64-t4"

    def _code(self, blocks: Values) -> tuple[npt.NDArray[np.uint8], Values]:
        np.rint(blocks, out=blocks)
        blocks += _ZERO  # rint may leave -0.0, which no integer can carry
        return blocks.astype(np.int8).view(np.uint8), blocks

    def _meaning(self, codes: npt.NDArray[np.uint8]) -> Values:
        return codes.view(np.int8).astype(np.float32)
