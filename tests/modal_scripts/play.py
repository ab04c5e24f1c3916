"""Runs commands of `squall` one after another in one process: a line of JSON in, a line out.

In: the command's arguments. Out: its exit status, and what it printed. One process and one connection
for all scripts keep the suite short; it has never imported the package modal.
"""

import contextlib
import io
import json
import sys

from squall.cli import commands, report, run


def main() -> None:
    answers = sys.stdout
    for line in sys.stdin:
        argv: list[str] = json.loads(line)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = report.guarded(lambda argv=argv: _command(argv))  # type: ignore[misc]
        told = {"status": status, "out": out.getvalue(), "err": err.getvalue()}
        answers.write(json.dumps(told) + "\n")
        answers.flush()


def _command(argv: list[str]) -> int:
    return run.main(argv[1:]) if argv[0] == "run" else commands.main(argv)


if __name__ == "__main__":
    main()
