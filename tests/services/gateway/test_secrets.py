"""Secrets over the control API: stored sealed, given to the right runner, never told."""

from typing import Any

import pytest
from squall_bus.access.accounts import owner_of
from squall_bus.access.sealing import new_pair, seal
from squall_bus.connection import connect
from squall_bus.errors import BusError
from squall_contracts import (
    access_subjects,
    apps,
    environments,
    placement,
    secrets,
    state_subjects,
    subjects,
    verbs,
)
from squall_contracts.failures import Refused
from squall_contracts.functions import FunctionRecord, FunctionSpec
from squall_contracts.message import encode
from squall_contracts.secrets import Sealed, SecretUse

from tests.services.gateway.conftest import Client, Platform, spec

MARK_KEY = b"m" * 32
RUNNER = "rn-one"


async def sealed(client: Client, **values: str) -> dict[str, Sealed]:
    key = await client.ask(verbs.GET_SEALING_KEY, secrets.GetSealingKey())
    return {n: seal(v, name=n, key=key, mark_key=MARK_KEY) for n, v in values.items()}


async def put(client: Client, name: str = "s", mode: Any = "create", **values: str) -> Any:
    request = secrets.PutSecret(
        environment="main", name=name, variables=await sealed(client, **values), mode=mode
    )
    return await client.ask(verbs.PUT_SECRET, request)


def using(*uses: SecretUse) -> FunctionSpec:
    return spec("f", secrets=uses)


STORED = SecretUse(name="s")


async def deployed(client: Client, function: FunctionSpec) -> apps.AppStarted:
    reply = await client.ask(
        verbs.DEPLOY_APP, apps.DeployApp(environment="main", name="a", functions=(function,))
    )
    assert isinstance(reply, apps.AppStarted), reply
    return reply


async def placed(
    platform: Platform, app: apps.AppStarted, container_id: str = "ct-a", **fields: Any
) -> placement.ContainerRecord:
    """A container of `f`, as the scheduler writes it before it tells the runner."""
    record = placement.ContainerRecord(
        **{
            "container_id": container_id,
            "function_id": app.function_ids["f"],
            "function_name": "f",
            "app_id": app.app_id,
            "app_name": "a",
            "workspace": platform.account,
            "environment": "main",
            "version": app.version,
            "state": "placed",
            "runner_id": RUNNER,
            **fields,
        }
    )
    bucket = platform.bus.kv(subjects.CONTAINERS_BUCKET, placement.ContainerRecord)
    await bucket.put(container_id, record)
    return record


async def opened(platform: Platform, container_id: str = "ct-a", runner: str = RUNNER) -> Any:
    """What a runner gets, opened; or the refusal's text."""
    pair = new_pair()
    request = secrets.OpenSecrets(
        container_id=container_id, runner_id=runner, public_key=pair.public
    )
    reply = await platform.bus.request(
        access_subjects.open_secrets(runner), request, secrets.OpenReply
    )
    if isinstance(reply, Refused):
        return reply.message
    return {
        name: pair.open(each.wrapped, each.box, account=platform.account, name=name)
        for name, each in reply.variables.items()
    }


async def test_create_replace_and_merge(platform: Platform, client: Client) -> None:
    made = await put(client, A="1", B="2")
    assert made.keys == ("A", "B")
    again = await put(client, C="3")
    assert (again.kind, "--force" in again.message) == ("already_exists", True)
    merged = await put(client, mode="merge", B="4", C="3")
    assert (merged.keys, merged.secret_id) == (("A", "B", "C"), made.secret_id)
    app = await deployed(client, using(STORED))
    await placed(platform, app)
    assert await opened(platform) == {"A": "1", "B": "4", "C": "3"}
    await placed(platform, app, state="stopped")
    replaced = await put(client, mode="replace", D="5")
    assert replaced.keys == ("D",)
    missing = await put(client, name="other", mode="merge", D="5")
    assert missing.kind == "not_found"


async def test_listing_tells_keys_and_no_values(client: Client) -> None:
    await put(client, "b.c", PASSWORD="swordfish")
    await put(client, "a", TOKEN="sesame")
    listed = await client.ask(verbs.LIST_SECRETS, secrets.ListSecrets(environment="main"))
    assert [(each.name, each.keys) for each in listed.secrets] == [
        ("a", ("TOKEN",)),
        ("b.c", ("PASSWORD",)),
    ]
    assert b"swordfish" not in encode(listed)
    request = secrets.DeleteSecret(environment="main", name="a")
    assert await client.ask(verbs.DELETE_SECRET, request) == apps.Done()
    assert (await client.ask(verbs.DELETE_SECRET, request)).kind == "not_found"
    found = secrets.FindSecret(environment="main", name="b.c", required_keys=("USER",))
    refused = await client.ask(verbs.FIND_SECRET, found)
    assert "no variable USER; it has: PASSWORD" in refused.message


@pytest.mark.parametrize(
    ("name", "key", "words"),
    [("a b", "A", "can't name a secret"), ("a", "1A", "'1A'"), ("x" * 65, "A", "1 to 64")],
)
async def test_bad_names_are_refused(client: Client, name: str, key: str, words: str) -> None:
    refused = await put(client, name, **{key: "hidden"})
    assert refused.kind == "invalid"
    assert words in refused.message
    assert "hidden" not in refused.message


async def test_what_was_sealed_for_another_workspace_is_refused(
    platform: Platform, client: Client
) -> None:
    """Else a copy of its sealed values would be all it takes to read them."""
    stolen = await sealed(client, A="theirs")
    other = await platform.client("other")
    async with other.bus:
        key = await other.ask(verbs.GET_SEALING_KEY, secrets.GetSealingKey())
        assert key.account != platform.account
        for key_id in (stolen["A"].key_id, key.key_id):
            forged = Sealed(key_id=key_id, wrapped=stolen["A"].wrapped, box=stolen["A"].box)
            request = secrets.PutSecret(environment="main", name="s", variables={"A": forged})
            assert (await other.ask(verbs.PUT_SECRET, request)).kind == "denied"
            own = SecretUse(variables={"A": forged})
            await platform.have_image(account=key.account)
            start = apps.StartApp(
                environment="main", name="a", functions=(using(own),), client_id="c"
            )
            assert (await other.ask(verbs.START_APP, start)).kind == "denied"


async def test_only_the_runner_about_to_start_a_container_gets_its_values(
    platform: Platform, client: Client
) -> None:
    await put(client, A="1")
    own = SecretUse(variables=await sealed(client, B="2", A="own"))
    app = await deployed(client, using(STORED, own))
    await placed(platform, app)
    assert await opened(platform) == {"A": "own", "B": "2"}
    assert "not about to be started" in await opened(platform, runner="rn-other")
    assert "not about to be started" in await opened(platform, "ct-unknown")
    await placed(platform, app, state="ready")
    assert "not about to be started" in await opened(platform)
    await placed(platform, app, version=app.version + 1)
    assert "was deployed meanwhile" in await opened(platform)
    await client.ask(verbs.STOP_APP, apps.StopApp(app_id=app.app_id))
    await placed(platform, app)
    assert "was stopped" in await opened(platform)


async def test_a_deleted_secret_is_named_when_a_container_needs_it(
    platform: Platform, client: Client
) -> None:
    await put(client, A="1")
    app = await deployed(client, using(STORED))
    await client.ask(verbs.DELETE_SECRET, secrets.DeleteSecret(environment="main", name="s"))
    await placed(platform, app)
    assert "function 'f': there is no secret 's' in environment 'main'" in await opened(platform)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (SecretUse(name="nope"), "there is no secret 'nope'"),
        (SecretUse(name="s", required_keys=("Z",)), "has no variable Z; it has: A"),
        (SecretUse(name="s", environment="dev"), "there is no secret 's' in environment 'dev'"),
        (SecretUse(name="a b"), "can't name a secret"),
    ],
)
async def test_apps_are_refused_for_want_of_a_secret(
    client: Client, use: SecretUse, words: str
) -> None:
    await put(client, A="1")
    start = apps.StartApp(environment="main", name="a", functions=(using(use),), client_id="c")
    refused = await client.ask(verbs.START_APP, start)
    assert isinstance(refused, Refused)
    assert words in refused.message


async def test_deploying_the_same_values_again_changes_nothing(client: Client) -> None:
    def own(variables: dict[str, Sealed]) -> FunctionSpec:
        return using(SecretUse(variables=variables))

    await deployed(client, own(await sealed(client, A="1")))
    assert not (await deployed(client, own(await sealed(client, A="1")))).changed
    assert (await deployed(client, own(await sealed(client, A="2")))).changed


async def test_rotation_seals_everything_anew_and_restarts_nothing(
    platform: Platform, client: Client
) -> None:
    await put(client, A="1")
    own = SecretUse(variables=await sealed(client, B="2"))
    late = await sealed(client, C="3")
    app = await deployed(client, using(STORED, own))
    rotated = await client.ask(verbs.ROTATE_SEALING_KEY, secrets.RotateSealingKey(revoke=True))
    assert (rotated.secrets, rotated.functions, len(rotated.revoked)) == (1, 1, 1)
    await placed(platform, app)
    assert await opened(platform) == {"A": "1", "B": "2"}
    records = platform.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord)
    entry = await records.get(app.function_ids["f"])
    assert entry is not None
    assert entry.value.version == app.version
    assert entry.value.spec.secrets[1].variables["B"].key_id == rotated.key_id
    put_late = secrets.PutSecret(environment="main", name="late", variables=late)
    assert (await client.ask(verbs.PUT_SECRET, put_late)).kind == "denied"
    start = apps.StartApp(
        environment="main", name="b", functions=(using(SecretUse(variables=late)),), client_id="c"
    )
    refused = await client.ask(verbs.START_APP, start)
    assert "was revoked" in refused.message


async def test_a_kept_key_still_opens_what_was_sealed_to_it(
    platform: Platform, client: Client
) -> None:
    own = SecretUse(variables=await sealed(client, B="2"))
    await client.ask(verbs.ROTATE_SEALING_KEY, secrets.RotateSealingKey())
    app = await deployed(client, using(own))
    await placed(platform, app)
    assert await opened(platform) == {"B": "2"}


async def test_containers_with_old_values_are_stopped_before_the_reply(
    platform: Platform, client: Client
) -> None:
    await put(client, A="1")
    app = await deployed(client, using(STORED))
    old = await placed(platform, app, "ct-old", state="ready")
    await placed(platform, app, "ct-waits", state="requested", runner_id="")
    await placed(platform, app, "ct-ended", state="stopped")
    bucket = platform.bus.kv(subjects.CONTAINERS_BUCKET, placement.ContainerRecord)
    told: list[placement.StopContainer] = []

    async def hear(delivery: Any) -> None:
        told.append(delivery.decode(placement.StopContainer))
        await placed(platform, app, "ct-old", state="draining")

    await platform.bus.subscribe(subjects.command(RUNNER), hear)
    changed = await put(client, mode="merge", A="2")
    assert changed.replaced_containers == 1
    assert [(each.container_id, each.reason) for each in told] == [
        (old.container_id, "secret s was changed")
    ]
    entry = await bucket.get("ct-old")
    assert entry is not None
    assert entry.value.state == "draining"


async def test_no_other_service_reads_secrets_or_asks_for_them(platform: Platform) -> None:
    urls = [platform.server.url]
    for service in ("scheduler", "runner"):
        credentials = platform.server.keys.service(service)
        inbox = subjects.inbox(owner_of(credentials.jwt))
        async with await connect(urls, credentials, name=service, inbox=inbox) as bus:
            with pytest.raises(BusError):
                await bus.kv(state_subjects.SECRETS_BUCKET, secrets.SecretRecord).get("x.main.s")
            if service == "scheduler":
                with pytest.raises(BusError):
                    request = secrets.OpenSecrets(
                        container_id="ct-a", runner_id="rn", public_key=b"k" * 32
                    )
                    await bus.request(
                        access_subjects.open_secrets("rn"),
                        request,
                        secrets.OpenReply,
                        timeout_s=0.5,
                    )


async def test_deleting_an_environment_takes_its_secrets(client: Client) -> None:
    await client.ask(verbs.CREATE_ENVIRONMENT, environments.CreateEnvironment(name="dev"))
    variables = await sealed(client, A="1")
    await client.ask(
        verbs.PUT_SECRET,
        secrets.PutSecret(environment="dev", name="s", variables=variables),
    )
    await put(client, A="1")
    await client.ask(verbs.DELETE_ENVIRONMENT, environments.DeleteEnvironment(name="dev"))
    listed = await client.ask(verbs.LIST_SECRETS, secrets.ListSecrets())
    assert [each.environment for each in listed.secrets] == ["main"]
