"""`squall doctor`: what is wrong on this machine, and how to mend it."""

import typer

from squall.cli.checks import Finding, all_findings
from squall.cli.tables import Json, show, show_json

_MARKS = {"ok": "ok", "note": "–", "bad": "BAD"}


def doctor(json: Json = False) -> None:
    """Say what is wrong on this machine and how to mend it.

    Looks at versions, NATS, Docker and its rights, GPU, disk and the server; the exit status is 1
    when something must be mended.
    """
    findings = all_findings()
    if json:
        show_json([finding._asdict() for finding in findings])
    else:
        show((_row(f) for f in findings), ["", "what", "found", "remedy"], empty="")
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


def _row(finding: Finding) -> list[str]:
    return [_MARKS[finding.state], finding.what, finding.found, finding.remedy]
