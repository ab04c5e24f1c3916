"""A real nats-server with a real gateway, and the ways in that attackers have."""

from tests.services.gateway.conftest import client, platform

__all__ = ["client", "platform"]
