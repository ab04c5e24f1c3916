"""One version of an app under `squall serve`: waits for its turn, then runs the app until stdin is
closed. What takes time and has nothing to do with the app's files comes first."""

import argparse
import os
import sys

import msgspec

from squall._modal import alias
from squall.cli import loading, refs, report
from squall.cli.serve import Told


def main() -> int:
    """Run the app the command line names, and say so on the descriptor in SQUALL_TELL_FD."""
    import squall

    options = _parser().parse_args()
    _prepare()
    if not sys.stdin.readline():
        return 0  # it is not needed any more
    alias.use()
    app = loading.app(refs.parse(options.reference, as_module=options.module))
    context = app.run(name=options.name)
    with squall.enable_output(timestamps=options.timestamps), context:
        assert app.app_id is not None, "it runs"
        told = Told(app_id=app.app_id, files=sorted(map(str, context.local_files)))
        with os.fdopen(int(os.environ["SQUALL_TELL_FD"]), "wb") as pipe:
            pipe.write(msgspec.json.encode(told) + b"\n")
        sys.stdin.read()
    return 0


def _prepare() -> None:
    """Imports and the connection."""
    from squall_bus.stores import objects  # noqa: F401

    import squall.function  # noqa: F401 - the app will
    from squall import _client, _sync
    from squall._apps import loader, running  # noqa: F401

    _sync.run(_client.connected())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="squall serve")
    parser.add_argument("reference")
    parser.add_argument("--module", action="store_true")
    parser.add_argument("--timestamps", action="store_true")
    parser.add_argument("--name")
    return parser


if __name__ == "__main__":
    sys.exit(report.guarded(main))
