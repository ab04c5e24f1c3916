"""`squall dashboard`: the way into the dashboard, opened in a browser."""

import sys
import webbrowser
from typing import Annotated
from urllib.parse import urlencode

import typer
from squall_contracts import dashboard as words

from squall.cli import control
from squall.cli.report import say
from squall.cli.tables import Json, show_json


def dashboard(
    browser: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open", help="Open it in a browser; default: when this is a terminal."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print the dashboard's address with a code that signs in, once, within five minutes."""
    door: words.DashboardDoor = control.ask(words.OpenDashboard())
    link = f"{door.url}-/login?{urlencode({'code': door.code})}"
    if json:
        shown = {"url": door.url, "code": door.code, "link": link}
        show_json({**shown, "expires_unix_s": door.expires_unix_s})
        return
    if browser or (browser is None and sys.stdout.isatty()):
        say(f"opening {door.url}")
        if webbrowser.open(link):
            return
        say("no browser could be opened: follow this link, once, within five minutes")
    print(link)
