"""A whole Ostraka network on this machine, as processes on loopback."""
