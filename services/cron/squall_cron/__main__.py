"""`python -m squall_cron`: the service on its own."""

from squall_bus.service import main

from squall_cron.app import SERVICE

if __name__ == "__main__":
    raise SystemExit(main(SERVICE))
