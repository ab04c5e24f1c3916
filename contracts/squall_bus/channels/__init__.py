"""Byte streams and web sessions between two ends."""
