"""From a pretrained model's file to the blocks a manifest names. Only publishers need this."""

from ostraka_worker.convert.gguf_llama import BlockWriter, Converted, ConvertedBlock, Weights, convert_gguf
from ostraka_worker.convert.tokenizer import TokenizerFiles

__all__ = ["BlockWriter", "Converted", "ConvertedBlock", "TokenizerFiles", "Weights", "convert_gguf"]
