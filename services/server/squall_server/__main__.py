"""`python -m squall_server`: everything on one machine, in one process beside nats-server."""

from squall_bus import logs  # noqa: F401 - before the services, so that structlog leaves rich out

from squall_server.app import main

if __name__ == "__main__":
    raise SystemExit(main())
