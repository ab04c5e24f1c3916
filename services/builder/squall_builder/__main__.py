from squall_builder.app import SERVICE
from squall_bus.service import main

if __name__ == "__main__":
    raise SystemExit(main(SERVICE))
