"""Sandboxes on the client: how they are made, waited for, talked to."""
