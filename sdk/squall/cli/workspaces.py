"""`squall workspace`: for operators, more workspaces and their quotas; for admins, the members."""

from typing import Annotated, Any

import msgspec
import typer
from squall_contracts import identity, tokens

from squall.cli import control
from squall.cli.report import say
from squall.cli.tables import Json, ago, show, show_json
from squall.cli.token import wanted
from squall.exception import InvalidError, NotFoundError

app = typer.Typer(help="Make workspaces, set quotas, manage members.", no_args_is_help=True)
members = typer.Typer(help="Members of this workspace.", no_args_is_help=True)
app.add_typer(members, name="members")
Name = Annotated[str, typer.Argument(metavar="WORKSPACE", help="Name of the workspace.")]
User = Annotated[str, typer.Argument(metavar="USER", help="A name or mail address.")]


@app.command("create")
def create(name: Name) -> None:
    """Make a workspace."""
    made: identity.WorkspaceEntry = control.ask(identity.CreateWorkspace(name=name))
    say(f"workspace {made.name}; a token of its member admin, not shown again:")
    print(made.admin_token)


@app.command("list")
def list_workspaces(json: Json = False) -> None:
    """List all workspaces of the server."""
    found: identity.WorkspaceList = control.ask(identity.ListWorkspaces())
    if json:
        show_json(found.workspaces)
        return
    show(
        (
            [each.name, ago(each.created_unix_s), f"{each.weight:g}", _words(each.quota)]
            for each in found.workspaces
        ),
        ("name", "age", "weight", "remark"),
        empty="no workspaces",
    )


@app.command("quota")
def quota(
    name: Name,
    *,
    containers: Annotated[int | None, typer.Option(help="At a time.")] = None,
    cpu: Annotated[float | None, typer.Option(help="Cores reserved.")] = None,
    memory_mib: Annotated[int | None, typer.Option(help="Memory reserved.")] = None,
    gpu: Annotated[
        list[str] | None, typer.Option(metavar="TYPE=N", help="The most of a type.")
    ] = None,
    storage_mib: Annotated[int | None, typer.Option(help="Of streams and objects.")] = None,
    streams: Annotated[int | None, typer.Option(help="Of NATS.")] = None,
    connections: Annotated[int | None, typer.Option(help="To NATS.")] = None,
    weight: Annotated[float | None, typer.Option(help="Its part beside others'.")] = None,
    none: Annotated[bool, typer.Option("--none", help="First drop the quota there is.")] = False,
    json: Json = False,
) -> None:
    """Show the quota of a workspace, or change what the options name."""
    now = _workspace(name)
    given = {
        "containers": containers,
        "cpu": cpu,
        "memory_mib": memory_mib,
        "storage_mib": storage_mib,
        "streams": streams,
        "connections": connections,
        "gpus": dict(map(_gpu, gpu)) if gpu else None,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    if changes or none or weight is not None:
        base = {} if none else msgspec.to_builtins(now.quota)
        try:
            wished = msgspec.convert({**base, **changes}, identity.Quota)
            request = identity.SetQuota(
                name=name, quota=wished, weight=now.weight if weight is None else weight
            )
        except msgspec.ValidationError as error:
            raise InvalidError(f"quota: {error}") from error
        now = control.ask(request)
    if json:
        show_json(now)
        return
    print(f"{now.name}: weight {now.weight:g}, {_words(now.quota)}")


@members.command("add")
def add(
    user: User,
    scopes: Annotated[str, typer.Option(help="The most their tokens may have.")] = "deploy",
) -> None:
    """Add a user, or change what tokens of theirs may have."""
    member: tokens.MemberEntry = control.ask(tokens.PutMember(user=user, scopes=wanted(scopes)))
    say(f"{member.user} may have {','.join(member.scopes)}")


@members.command("remove")
def remove(user: User) -> None:
    """Take a user out and revoke their tokens."""
    control.ask(tokens.RemoveMember(user=user))
    say(f"{user} is no member any more; their tokens are revoked")


@members.command("list")
def list_members(json: Json = False) -> None:
    """List the members of this workspace."""
    found: tokens.MemberList = control.ask(tokens.ListMembers())
    if json:
        show_json(found.members)
        return
    show(
        ([each.user, ",".join(each.scopes), ago(each.added_unix_s)] for each in found.members),
        ("user", "scopes", "age"),
        empty="no members",
    )


def _workspace(name: str) -> identity.WorkspaceEntry:
    found: identity.WorkspaceList = control.ask(identity.ListWorkspaces())
    for each in found.workspaces:
        if each.name == name:
            return each
    raise NotFoundError(f"there is no workspace {name!r}: see `squall workspace list`")


def _gpu(text: str) -> tuple[str, int]:
    kind, _, count = text.partition("=")
    if not kind or not count.isdigit():
        raise InvalidError(f"--gpu: {text!r} is not TYPE=N, such as H100=2")
    return kind.upper(), int(count)


def _words(quota: identity.Quota) -> str:
    fields: dict[str, Any] = msgspec.to_builtins(quota)
    limits = [f"{name} {value}" for name, value in fields.items() if value not in (None, {})]
    return ", ".join(limits) or "no quota"
