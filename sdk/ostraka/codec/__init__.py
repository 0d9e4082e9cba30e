"""Numbers to bytes and back, the same bytes on every machine. numpy only, never torch.

`row_format` gives the wire row format a manifest names: what activations look like between two blocks, and what
the trace hashes. `dump_tensors` and `load_tensors` are the block files.
"""

from ostraka.codec.choose import choose_format, relative_error
from ostraka.codec.rows import ROW_FORMATS, RowFormat, row_format
from ostraka.codec.tensors import MAX_HEADER_BYTES, Array, dump_tensors, load_tensors

__all__ = [
    "MAX_HEADER_BYTES",
    "ROW_FORMATS",
    "Array",
    "RowFormat",
    "choose_format",
    "dump_tensors",
    "load_tensors",
    "relative_error",
    "row_format",
]
