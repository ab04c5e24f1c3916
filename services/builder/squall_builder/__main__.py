from squall_bus.service import main

from squall_builder.app import SERVICE

if __name__ == "__main__":
    raise SystemExit(main(SERVICE))
