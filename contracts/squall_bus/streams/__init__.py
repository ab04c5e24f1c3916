"""Stored messages: published, consumed, taken, read, buried."""
