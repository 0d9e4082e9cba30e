"""The accuracy tasks and digests behind `python -m benchmarks exact`."""
