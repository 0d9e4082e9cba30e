"""Wire format `dynamic8-b64-t4`: the record of `blocks_top4`, its bytes indices into the dynamic 8-bit map.

    byte = the index of the code nearest to value / block scale        value ≈ code · block scale

As many bytes as `int8-b64-t4`. Better where most values of a block are small against its largest, worse where they are spread
evenly or normally: `choose_format` tells which.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ostraka.codec.blocks_top4 import BlocksTop4, Values
from ostraka.codec.dynamic_map import CODES, nearest


class Dynamic8BlocksTop4(BlocksTop4):
    """See the module's text for the bytes, `ostraka.codec.rows.RowFormat` for the methods."""

    name = "dynamic8-b64-t4"

    def _code(self, blocks: Values) -> tuple[npt.NDArray[np.uint8], Values]:
        codes = nearest(blocks)
        return codes, CODES.take(codes)

    def _meaning(self, codes: npt.NDArray[np.uint8]) -> Values:
        return CODES.take(codes)
