"""`squall`: the way in. `run` takes a short way past typer, which would cost it 300 ms."""

import sys


def main() -> int:
    """Run the command in sys.argv; returns its exit status."""
    argv = sys.argv[1:]
    from squall.cli import report

    if argv[:1] == ["run"]:
        from squall.cli import run

        return report.guarded(lambda: run.main(argv[1:]))
    from squall.cli import commands

    return report.guarded(lambda: commands.main(argv))


if __name__ == "__main__":
    sys.exit(main())
