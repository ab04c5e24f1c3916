"""`python -m squall_scheduler`: the service on its own."""

from squall_bus.service import main

from squall_scheduler.app import SERVICE

if __name__ == "__main__":
    raise SystemExit(main(SERVICE))
