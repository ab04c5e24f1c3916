"""A server in memory, for unit tests: the same rules, no process."""
