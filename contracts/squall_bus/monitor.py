"""What a service shows of itself over HTTP: metrics for Prometheus, whether it lives, whether it is
ready. Answered on the service's own loop: one that is stuck does not answer."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from squall_bus.bus import Bus
from squall_bus.settings import SettingsError

VARIABLE = "SQUALL_MONITOR"


@asynccontextmanager
async def monitoring(
    listen: str, registry: CollectorRegistry, is_ready: Callable[[], bool]
) -> AsyncIterator[None]:
    """Serve `/metrics`, `/live` and `/ready` on `listen`, HOST:PORT; empty: nowhere.

    SettingsError: it is no address, or can't be listened on.
    """
    if not listen:
        yield
        return
    host, port = _address(listen)
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    runner = web.AppRunner(_application(registry, is_ready), access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise SettingsError(f"{VARIABLE}: {listen} can't be listened on: {error}") from error
        yield
    finally:
        await runner.cleanup()


def observe(bus: Bus, service: str, registry: CollectorRegistry) -> None:
    """Count what becomes of a service's connection."""
    connected = Gauge(
        f"squall_{service}_bus_connected",
        "1 while the connection to NATS stands.",
        registry=registry,
    )
    connected.set_function(lambda: float(bus.is_connected))
    again = Counter(
        f"squall_{service}_bus_reconnects",
        "Connections made after one was lost.",
        registry=registry,
    )

    async def reconnected() -> None:
        again.inc()

    bus.on_reconnect(reconnected)


def _address(listen: str) -> tuple[str, int]:
    host, separator, port = listen.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise SettingsError(f"{VARIABLE}: {listen!r} is no address: use HOST:PORT")
    return host.strip("[]"), int(port)


def _application(registry: CollectorRegistry, is_ready: Callable[[], bool]) -> web.Application:
    async def metrics(_: web.Request) -> web.Response:
        headers = {"Content-Type": CONTENT_TYPE_LATEST}
        return web.Response(body=generate_latest(registry), headers=headers)

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="live\n")

    async def ready(_: web.Request) -> web.Response:
        if is_ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text="not ready\n")

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    application.router.add_get("/live", live)
    application.router.add_get("/ready", ready)
    return application
