"""Secrets of image builds over the control API: granted with an order, opened by a builder."""

from typing import Any

from squall_bus.access.sealing import new_pair
from squall_contracts import access_subjects, images, secrets, subjects, verbs
from squall_contracts.failures import Refused
from squall_contracts.message import decode, encode

from tests.services.gateway.conftest import Client, Platform
from tests.services.gateway.test_secrets import put, sealed


async def ordered(client: Client, *wanted: secrets.StepSecret, **own: str) -> Any:
    steps = (images.RunCommands(commands=("ls",), secrets=wanted),)
    recipe = images.Recipe(base=images.DebianSlim(python_version="3.11"), steps=steps)
    values = (await sealed(client, **own),) if own else ()
    return await client.ask(verbs.ENSURE_IMAGE, images.EnsureImage(recipe=recipe, own=values))


async def order_of(platform: Platform) -> images.BuildImage:
    stored = await platform.bus.admin.next_message(subjects.BUILDS, ">")
    assert stored is not None
    return decode(stored.data, images.BuildImage)


async def opened(platform: Platform, order: images.BuildImage, **changes: Any) -> Any:
    pair = new_pair()
    request = secrets.OpenBuildSecrets(
        **{
            "workspace": order.workspace,
            "image_id": order.image_id,
            "secrets": images.build_secrets(order.recipe),
            "own": order.own,
            "grant": order.grant,
            "public_key": pair.public,
            **changes,
        }
    )
    reply: Any = await platform.bus.request(
        access_subjects.OPEN_BUILD_SECRETS,
        request,
        secrets.BuildSecretsReply,
    )
    if isinstance(reply, Refused):
        return reply
    return [
        {n: pair.open(e.wrapped, e.box, account=order.workspace, name=n) for n, e in each.items()}
        for each in reply.secrets
    ]


OWN_SECRET = secrets.StepSecret(keys=("B",))
STORED_SECRET = secrets.StepSecret(name="s", environment="main", keys=("A",))


async def test_a_builder_opens_what_a_client_ordered_and_nothing_else(
    platform: Platform, client: Client
) -> None:
    await put(client, A="stored")
    await put(client, "other", A="not yours")
    assert (await ordered(client, STORED_SECRET, OWN_SECRET, B="own")).state == "building"
    order = await order_of(platform)
    assert b"own" not in encode(order.own) and b"stored" not in encode(order)
    assert await opened(platform, order) == [{"A": "stored"}, {"B": "own"}]
    other = secrets.StepSecret(name="other", environment="main")
    for changed in (
        {"secrets": (other, OWN_SECRET)},
        {"image_id": "im-other"},
        {"grant": b"g" * 64},
    ):
        refused = await opened(platform, order, **changed)
        assert isinstance(refused, Refused) and "nobody ordered" in refused.message
    await client.ask(verbs.ROTATE_SEALING_KEY, secrets.RotateSealingKey())
    assert await opened(platform, order) == [{"A": "stored"}, {"B": "own"}]


async def test_an_order_after_its_key_was_revoked_says_what_to_do(
    platform: Platform, client: Client
) -> None:
    await ordered(client, OWN_SECRET, B="own")
    order = await order_of(platform)
    await client.ask(verbs.ROTATE_SEALING_KEY, secrets.RotateSealingKey(revoke=True))
    refused = await opened(platform, order)
    assert isinstance(refused, Refused) and "run or deploy the app again" in refused.message


async def test_an_image_whose_secret_is_missing_is_not_ordered(
    platform: Platform, client: Client
) -> None:
    refused = await ordered(client, STORED_SECRET)
    assert isinstance(refused, Refused) and "there is no secret 's'" in refused.message
    await put(client, OTHER="x")
    refused = await ordered(client, STORED_SECRET)
    assert isinstance(refused, Refused) and "has no variable A" in refused.message
    refused = await ordered(client, OWN_SECRET)
    assert isinstance(refused, Refused) and "own" in refused.message
    assert await platform.bus.admin.backlog(subjects.BUILDS, ">") == {}
