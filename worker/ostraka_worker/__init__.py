"""The worker: the program a node runs. The only room with torch in it."""
