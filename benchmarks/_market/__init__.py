"""Parts of `benchmarks.market`: load on a whole market, and the same transactions sent bare."""
