"""The gateway as a process of its own."""

from squall_bus.service import main

from squall_gateway.app import SERVICE

if __name__ == "__main__":
    raise SystemExit(main(SERVICE))
