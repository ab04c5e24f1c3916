"""Terminals: a program on a pseudo-terminal, and the person at the other end of a stream."""
