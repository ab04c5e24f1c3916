"""Building an image by itself, without an app."""

from typing import TYPE_CHECKING

from squall import _client

if TYPE_CHECKING:
    from squall.image import Image


async def build(image: "Image") -> str:
    """Its id, once it is built. On the SDK loop. ImageBuildError, InvalidError, NotFoundError."""
    import asyncio

    from squall._apps.placing import put_in_place
    from squall._apps.spec import Plan, settle
    from squall.image import resolve

    resolved = await asyncio.to_thread(resolve, image)
    made = Plan(images={resolved.image_id: resolved}, uploads=dict(resolved.uploads))
    client = await _client.connected()
    settle(made, client.environment)
    await put_in_place(client, made)
    return next(iter(made.images))
