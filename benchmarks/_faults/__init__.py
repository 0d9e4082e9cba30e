"""Parts of `benchmarks.faults`: a network under fire."""
