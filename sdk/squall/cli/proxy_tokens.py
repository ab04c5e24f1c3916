"""`squall proxy-token`: tokens that open web endpoints made with `requires_proxy_auth`, the REST API or the
dashboard."""

import enum
from typing import Annotated

import typer
from squall_contracts import webtokens

from squall.cli import control
from squall.cli.report import say
from squall.cli.tables import Json, ago, show, show_json

app = typer.Typer(
    help="Make, list and delete tokens that open web endpoints, the REST API or the dashboard.",
    no_args_is_help=True,
)


class Scope(enum.Enum):
    web = "web"
    api = "api"
    dashboard = "dashboard"


@app.command("create")
def create(
    comment: Annotated[str, typer.Option(help="What it is for.")] = "",
    scope: Annotated[
        Scope,
        typer.Option(
            help="web: endpoints made with requires_proxy_auth. api: the REST API. "
            "dashboard: its login page."
        ),
    ] = Scope.web,
    json: Json = False,
) -> None:
    """Make a token. Its secret is shown this once."""
    asked = webtokens.CreateToken(comment=comment, scopes=(scope.value,))
    made: webtokens.TokenCreated = control.ask(asked)
    if json:
        show_json({"token_id": made.token_id, "secret": made.secret})
        return
    if scope is Scope.dashboard:
        say("sign in to the dashboard with this; it is not shown again")
        print(f"{made.token_id}.{made.secret}")
        return
    say("send these headers with each request; the secret is not shown again")
    if scope is Scope.api:
        print(f"Authorization: Bearer {made.token_id}.{made.secret}")
        return
    print(f"Squall-Key: {made.token_id}\nSquall-Secret: {made.secret}")


@app.command("list")
def list_tokens(json: Json = False) -> None:
    """List tokens, oldest first."""
    listed: webtokens.TokenList = control.ask(webtokens.ListTokens())
    if json:
        show_json(listed.tokens)
        return
    show(
        (
            [each.token_id, ago(each.created_unix_s), ", ".join(each.scopes), each.comment]
            for each in listed.tokens
        ),
        ("token", "age", "scope", "comment"),
        empty="no tokens",
    )


@app.command("delete")
def delete(
    token_id: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id (wt-…).")],
) -> None:
    """Delete a token: it opens nothing from now on."""
    control.ask(webtokens.DeleteToken(token_id=token_id))
    say(f"deleted {token_id}")
