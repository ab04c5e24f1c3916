"""Sandboxes: their records, who waits for what becomes of them, and the verbs of clients."""
