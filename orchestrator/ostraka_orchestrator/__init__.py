"""The orchestrator: matches jobs to nodes and sees every job to its end. It holds no money and no weights."""
