"""`squall token`: tokens people and programs sign in with."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from squall_contracts import tokens as words
from squall_contracts.scopes import SCOPES, Scope, included

from squall import config as settings
from squall.cli import asking, control, durations
from squall.cli.report import say
from squall.cli.tables import Json, ago, moment, show, show_json
from squall.exception import InvalidError

app = typer.Typer(help="Make, list and end tokens, and sign in with one.", no_args_is_help=True)
TokenId = Annotated[str, typer.Argument(metavar="TOKEN", help="Its id (tk-…).")]
Scopes = Annotated[str, typer.Option("--scopes", help=f"Comma-separated, of {', '.join(SCOPES)}.")]


@app.command("new")
def new(
    user: Annotated[str, typer.Option(help="The member it is for.")] = "admin",
    scopes: Scopes = "",
    expires: Annotated[str | None, typer.Option(help="Such as 12h or 30d; default: never.")] = None,
    comment: Annotated[str, typer.Option(help="What it is for.")] = "",
    *,
    platform: Annotated[
        bool, typer.Option("--platform", help="With scopes operator or runner; for operators.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a token of this workspace. Its secret is shown this once."""
    kind = words.IssuePlatformToken if platform else words.IssueToken
    request = kind(
        user=user,
        scopes=wanted(scopes),
        life_s=durations.seconds("--expires", expires),
        comment=comment,
    )
    _show_secret(control.ask(request), json)


@app.command("list")
def list_tokens(json: Json = False) -> None:
    """List the tokens of this workspace, oldest first."""
    listed: words.AccessTokenList = control.ask(words.ListAccessTokens())
    if json:
        show_json(listed.tokens)
        return
    show(
        (
            [
                each.token_id,
                each.user,
                ",".join(each.scopes),
                ago(each.created_unix_s),
                moment(each.expires_unix_s) or "never",
                each.runner_id or each.comment,
            ]
            for each in listed.tokens
        ),
        ("token", "user", "scopes", "age", "expires", "remark"),
        empty="no tokens",
    )


@app.command("revoke")
def revoke(token_id: TokenId) -> None:
    """End a token, and every connection made with it, at once."""
    control.ask(words.RevokeToken(token_id=token_id))
    say(f"revoked {token_id}")


@app.command("rotate")
def rotate(
    token_id: TokenId,
    grace: Annotated[
        str | None, typer.Option(help="For so long the old secret is good, too; default: no more.")
    ] = None,
    json: Json = False,
) -> None:
    """Give a token another secret, shown this once."""
    grace_s = durations.seconds("--grace", grace) or 0.0
    _show_secret(control.ask(words.RotateToken(token_id=token_id, grace_s=grace_s)), json)


@app.command("set")
def set_token(
    token: Annotated[
        str | None,
        typer.Argument(metavar="[TOKEN]", help="ID.SECRET; default: asked for, or from stdin."),
    ] = None,
    *,
    token_id: Annotated[str | None, typer.Option(help="Instead of TOKEN, with the secret.")] = None,
    token_secret: Annotated[str | None, typer.Option(help="The secret of --token-id.")] = None,
    server: Annotated[
        str | None, typer.Option(help="Such as nats://host:4222; default: the configured one.")
    ] = None,
    ca_file: Annotated[
        str | None, typer.Option(help="Who signs the server's certificate; default: the system's.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="Profile to change; default: the active one.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Sign in once.")] = True,
) -> None:
    """Sign in: keep a token in the configuration file, once the server has taken it."""
    now = settings.settings()
    found = _pasted(token, token_id, token_secret)
    running = settings.running_server(now.state_dir)
    url = server or now.server_url or (running.url if running else None)
    if url is None:
        raise InvalidError("--server: name the server, such as nats://host:4222")
    ca_file = str(Path(ca_file).absolute()) if ca_file else now.ca_file
    who = _caller(url, ".".join(found), ca_file or "") if verify else None
    name = profile or now.profile or "default"
    values = {"server_url": url, "token_id": found[0], "token_secret": found[1]}
    settings.save_profile(name, {**values, **({"ca_file": ca_file} if ca_file else {})})
    said = "" if who is None else f" as {who.user} of workspace {who.workspace}"
    say(f"profile {name}: signed in{said} (in {settings.config_path()})")


@app.command("info")
def info(json: Json = False) -> None:
    """Show whose token is configured, and what it may do."""
    server = settings.find_server()
    if server is None or not server.token:
        raise InvalidError("no token is configured: use `squall token set`")
    who = _caller(server.url, server.token, server.ca_file)
    if json:
        show_json(who)
        return
    rows = {
        "token": who.token_id,
        "workspace": who.workspace,
        "user": who.user,
        "may": ", ".join(scope for scope in SCOPES if scope in included(who.scopes)),
        "expires": moment(who.expires_unix_s) or "never",
        "server": f"{server.url} ({server.source})",
    }
    show(rows.items(), ("setting", "value"), empty="")


def wanted(scopes: str) -> tuple[Scope, ...]:
    """Scopes as written on a command line. InvalidError names a wrong one."""
    found = tuple(part.strip() for part in scopes.split(",") if part.strip())
    try:
        included(found)
    except ValueError as error:
        raise InvalidError(f"--scopes: {error}") from error
    return tuple(scope for scope in SCOPES if scope in found)


def _pasted(token: str | None, token_id: str | None, secret: str | None) -> tuple[str, str]:
    if token_id is not None or secret is not None:
        if token is not None or token_id is None:
            raise InvalidError("give TOKEN, or --token-id with --token-secret")
        return token_id, secret if secret is not None else asking.hidden("secret")
    if token is None:
        token = asking.hidden("token") if sys.stdin.isatty() else sys.stdin.read()
    found_id, separator, found_secret = token.strip().partition(".")
    if not separator or not found_id or not found_secret:
        raise InvalidError("TOKEN: paste it whole, as ID.SECRET")
    return found_id, found_secret


def _caller(url: str, token: str, ca_file: str) -> words.Caller:
    """Who the server says a token is of. AuthError when it won't have it."""
    from squall import _client, _sync

    return _sync.run(_client.identify(url.split(","), token, ca_file))


def _show_secret(made: words.TokenIssued, json: bool) -> None:
    if json:
        show_json(made)
        return
    scopes = ",".join(made.scopes)
    say(f"a token of {made.user} ({scopes}); keep it safe: it is not shown again")
    print(f"{made.token_id}.{made.secret}")
