"""What the contract tests stand on: actors, a driver for the contracts, and Python models to compare them with."""
