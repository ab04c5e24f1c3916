"""Volumes: file trees in the object store, which clients, runners and gateways read and change."""
