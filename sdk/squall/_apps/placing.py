"""Before an app starts: its images built and its content uploaded, in one round trip if both are.

A build needs the files its steps copy, so those go first; what containers read goes beside it.
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from squall_contracts import subjects
from squall_contracts.images import (
    BuildEnded,
    BuildLine,
    BuildNews,
    EnsureImage,
    ImageStatus,
)
from squall_contracts.message import decode, encode

from squall import _sync
from squall._apps.spec import Plan
from squall._client import Client, translated
from squall._console import showing
from squall._image.files import Content
from squall._secret.sealing import sealed_values
from squall.exception import ImageBuildError

if TYPE_CHECKING:
    from squall_bus.bus import Delivery

    from squall.image import ResolvedImage

_UPLOADS_AT_ONCE = 32
_ASK_AGAIN_S = 20.0
"""A build's end is unstored news: ask now and then, lest it was missed while reconnecting."""


async def put_in_place(client: Client, made: Plan) -> None:
    """Images built and content uploaded, all at once; ImageBuildError."""
    context = _context_digests(made)
    first = {sha: made.uploads[sha] for sha in made.uploads if sha in context}
    rest = {sha: made.uploads[sha] for sha in made.uploads if sha not in context}
    async with translated():
        await together(
            _upload(client, rest),
            _after(
                _upload(client, first),
                *(_ensure_image(client, each) for each in made.images.values()),
            ),
        )


async def _after(first: Coroutine[Any, Any, None], *then: Coroutine[Any, Any, None]) -> None:
    """A build needs its context: upload, then build; images without one don't wait for long."""
    try:
        await first
    except BaseException:
        for each in then:
            each.close()
        raise
    await together(*then)


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """All at once; the first failure ends the others and is raised itself, not as a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _context_digests(made: Plan) -> set[str]:
    """Content that builds read, told from what containers read by the recipes that name it."""
    recipes = [encode(resolved.recipe) for resolved in made.images.values()]
    return {sha for sha in made.uploads if any(sha.encode() in recipe for recipe in recipes)}


async def _upload(client: Client, uploads: dict[str, Content]) -> None:
    """Put what is missing in the code store; asks for all of it at once."""
    slots = asyncio.Semaphore(_UPLOADS_AT_ONCE)

    async def one(sha256: str, content: Content) -> None:
        async with slots:
            if await client.code.info(sha256) is None:
                if not isinstance(content, bytes):
                    content = await asyncio.to_thread(content.read_bytes)
                await client.code.put(sha256, content)

    await together(*(one(sha, content) for sha, content in uploads.items()))


async def _ensure_image(client: Client, resolved: "ResolvedImage") -> None:
    image_id = resolved.image_id
    ended: asyncio.Future[BuildEnded] = asyncio.get_running_loop().create_future()
    output = showing.current()

    def hear(delivery: "Delivery") -> None:
        news: BuildLine | BuildEnded = decode(delivery.data, BuildNews)  # type: ignore[arg-type]
        if isinstance(news, BuildLine):
            if output is not None:
                output.build_line(news)
        elif not ended.done():
            ended.set_result(news)

    # Listening goes out before the question, on the same connection: no news is missed.
    listening = asyncio.ensure_future(client.bus.subscribe(subjects.down_build(image_id), hear))
    await asyncio.sleep(0)
    try:
        question = EnsureImage(recipe=resolved.recipe, own=await sealed_values(client, resolved))
        status = await client.control(question)
        if status.state == "building":
            if output is not None:
                output.build_started(image_id)
            status = await _built(client, question, ended)
            if output is not None:
                output.build_ended(image_id, status.state)
    finally:
        _sync.background(_stop_listening(listening))
    if status.state == "failed":
        raise build_error(status)


async def _stop_listening(listening: "asyncio.Future[Any]") -> None:
    subscription = await listening
    await subscription.close()


async def _built(
    client: Client, question: EnsureImage, ended: "asyncio.Future[BuildEnded]"
) -> ImageStatus:
    while True:
        done, _ = await asyncio.wait([ended], timeout=_ASK_AGAIN_S)
        if done:
            news = ended.result()
            return ImageStatus(
                image_id=news.image_id,
                state=news.state,
                failed_step=news.failed_step,
                error=news.error,
                log_tail=news.log_tail,
            )
        status = await client.control(question)
        if status.state != "building":
            return status


def build_error(status: ImageStatus) -> ImageBuildError:
    """One line on what failed, then the end of the log."""
    step = f" at {status.failed_step!r}" if status.failed_step else ""
    text = f"image {status.image_id} does not build{step}: {status.error or 'see its log'}"
    if status.log_tail:
        text += f"\n{status.log_tail.rstrip()}"
    return ImageBuildError(
        text,
        image_id=status.image_id,
        failed_step=status.failed_step,
        log_tail=status.log_tail,
    )
