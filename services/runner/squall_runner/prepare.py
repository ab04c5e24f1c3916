"""What a container needs before its guest can start: its image, its credentials, its assignment."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit, urlunsplit

from squall_bus.access.accounts import new_key
from squall_bus.asking.replies import ABSENT_S
from squall_bus.bus import Bus
from squall_contracts import access_subjects, subjects
from squall_contracts.failures import Refused
from squall_contracts.guest import Assignment, Credentials
from squall_contracts.identity import MintedGuest, MintGuest, MintGuestReply
from squall_contracts.images import ImageRecord
from squall_contracts.placement import StartContainer

from squall_runner.core import RuntimeName
from squall_runner.runtime import Layout, StartRefused
from squall_runner.settings import Settings

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})


class Own:
    """What a container has for itself alone."""

    users: tuple[Credentials, Credentials]
    """Its guest's and its client's."""
    secrets: dict[str, str]
    bucket_secrets: Mapping[str, Mapping[str, str]]
    """By mount path; the runner's alone."""


class Images:
    """Ready images, remembered: an image id never means something else."""

    def __init__(self, bus: Bus, runtime: RuntimeName) -> None:
        self._records = bus.kv(subjects.IMAGES_BUCKET, ImageRecord)
        self._runtime = runtime
        self._known: dict[str, ImageRecord] = {}

    async def get(self, account: str, image_id: str) -> ImageRecord:
        """The image's record. StartRefused when it isn't ready, or is for another runtime."""
        key = subjects.image_key(account, image_id)
        if key not in self._known:
            entry = await self._records.get(key)
            if entry is None or entry.value.state != "ready":
                state = "unknown" if entry is None else entry.value.state
                raise StartRefused(f"image {image_id} is {state}: run or deploy the app again")
            if entry.value.runtime != self._runtime:
                raise StartRefused(
                    f"image {image_id} was built for the {entry.value.runtime} runtime "
                    f"and this runner has {self._runtime}: run or deploy the app again"
                )
            self._known[key] = entry.value
        return self._known[key]

    def forget(self, account: str, image_id: str) -> None:
        """Look it up anew next time: it could not be started."""
        self._known.pop(subjects.image_key(account, image_id), None)


async def mint(bus: Bus, start: StartContainer, runner_id: str) -> tuple[Credentials, Credentials]:
    """The container's two users, its guest's and its client's. StartRefused, BusError."""
    guest, client = new_key("user"), new_key("user")
    reply: MintedGuest | Refused = await bus.request(
        access_subjects.mint_guest(runner_id),
        MintGuest(
            container_id=start.container_id,
            guest_public_key=guest.public,
            client_public_key=client.public,
        ),
        MintGuestReply,
        absent_s=ABSENT_S,
    )
    if isinstance(reply, Refused):
        raise StartRefused(f"no credentials for the container: {reply.message}")
    return (
        Credentials(jwt=reply.guest_jwt, seed=guest.seed),
        Credentials(jwt=reply.client_jwt, seed=client.seed),
    )


def assignment(
    start: StartContainer,
    layout: Layout,
    servers: Sequence[str],
    own: Own,
    settings: Settings,
) -> Assignment:
    guest, client = own.users
    return Assignment(
        container_id=start.container_id,
        function_id=start.function_id,
        app_id=start.app_id,
        app_name=start.app_name,
        workspace=start.workspace,
        environment=start.environment,
        version=start.version,
        image_id=start.spec.image_id,
        spec=start.spec,
        function_ids=start.function_ids,
        servers=tuple(servers),
        guest=guest,
        client=client,
        files_dir=layout.files_dir,
        root=layout.root,
        flight_record=layout.flight_record,
        ack_wait_s=settings.ack_wait_s,
        drain_s=max(settings.guest_drain_s, start.spec.timeout_s),
        secrets=own.secrets,
    )


def servers_for_containers(own: Sequence[str], gateway: str) -> tuple[str, ...]:
    """The NATS URLs as containers reach them: a loopback host is `gateway` to them."""
    return tuple(_reached(url, gateway) for url in own)


def _reached(url: str, gateway: str) -> str:
    parts = urlsplit(url if "//" in url else f"nats://{url}")
    if parts.hostname not in _LOOPBACK:
        return url
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{gateway}{port}", parts.path, parts.query, ""))
