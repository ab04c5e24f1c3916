"""The REST API: what clients in any language ask over HTTP, under `/v1`."""
