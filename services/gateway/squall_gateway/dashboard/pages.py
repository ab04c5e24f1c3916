"""The pages: what each needs, put into its template. What isn't in memory is read when it is asked."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from squall_bus.bus import Bus
from squall_bus.errors import BusError
from squall_bus.service import Context
from squall_contracts.images import DebianSlim
from squall_volumes.errors import VolumeDamaged, VolumeMissing
from squall_volumes.store import VolumeStore

from squall_gateway import letters
from squall_gateway.dashboard import logs, stored
from squall_gateway.dashboard.views import calls, containers, functions, overview, things
from squall_gateway.dashboard.views.common import Paged, Place, paged

LEADERS: Final = ("scheduler", "autoscaler", "cron")
COUNTED_AT_ONCE: Final = 16


class Shown(NamedTuple):
    """A page to render; `template` empty: there is no such thing."""

    template: str
    title: str
    section: str
    values: dict[str, Any]
    status: int = 200


Page = Callable[[Place, str], Awaitable[Shown]]


def missing(section: str, what: str) -> Shown:
    return Shown("missing", "Not found", section, {"what": what}, 404)


class Pages:
    """One method a page; the second argument is what is named in its path."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lists: dict[str, Page] = {
            "": self._overview,
            "apps": self._apps,
            "functions": self._functions,
            "containers": self._containers,
            "calls": self._calls,
            "logs": self._logs,
            "dead": self._dead,
            "schedules": self._schedules,
            "machines": self._machines,
            "images": self._images,
            "volumes": self._volumes,
            "secrets": self._secrets,
            "collections": self._collections,
        }
        self._single: dict[str, Page] = {
            "apps": self._app,
            "functions": self._function,
            "containers": self._container,
            "calls": self._call,
            "dead": self._letter,
            "images": self._image,
            "volumes": self._volume,
        }

    async def show(self, place: Place, section: str, name: str) -> Shown:
        """The page at `<section>/<name>`; an empty name is the list. BusError."""
        page = (self._single if name else self._lists).get(section)
        if page is None:
            return missing("", "this page")
        return await page(place, name)

    async def _bus(self, place: Place) -> Bus:
        return await self._context.workspaces.get(place.account)

    # --- from memory -------------------------------------------------------------------------------

    async def _overview(self, place: Place, _: str) -> Shown:
        try:
            waiting = await stored.count_letters(await self._bus(place), place.environment)
        except BusError:
            waiting = None
        shown = overview.overview(place, waiting)
        return Shown("overview", "Overview", "", {"overview": shown})

    async def _apps(self, place: Place, _: str) -> Shown:
        rows = paged(overview.app_rows(place), place.page)
        return Shown("apps", "Apps", "apps", {"rows": rows})

    async def _app(self, place: Place, name: str) -> Shown:
        for app in place.known.apps_of(place.account, place.environment):
            if app.app_id == name:
                values = {
                    "app": app,
                    "rows": functions.functions(place, app),
                    "facts": functions.versions(app),
                }
                return Shown("app", app.name, "apps", values)
        return missing("apps", f"app {name}")

    async def _functions(self, place: Place, _: str) -> Shown:
        rows = functions.functions(place, None)
        return Shown("functions", "Functions", "functions", {"rows": rows})

    async def _function(self, place: Place, name: str) -> Shown:
        record = place.known.function(place.account, place.environment, place.known.owner(name))
        if record is None:
            return missing("functions", f"function {name}")
        page = functions.function_page(place, record)
        return Shown("function", record.spec.name, "functions", {"page": page, "record": record})

    async def _containers(self, place: Place, _: str) -> Shown:
        rows = containers.containers(place)
        return Shown("containers", "Containers", "containers", {"rows": rows})

    async def _container(self, place: Place, name: str) -> Shown:
        record = place.known.containers.get(name)
        if record is None or (record.workspace, record.environment) != (
            place.account,
            place.environment,
        ):
            return missing("containers", f"container {name}")
        row = containers.container_row(record)
        values = {"row": row, "phases": containers.phase_rows(row.start)}
        return Shown("container", name, "containers", values)

    async def _schedules(self, place: Place, _: str) -> Shown:
        rows = things.schedules(place)
        return Shown("schedules", "Schedules", "schedules", {"rows": rows})

    async def _machines(self, place: Place, _: str) -> Shown:
        leaders = {name: name in place.known.leases for name in LEADERS}
        values = {"rows": containers.machines(place), "leaders": leaders}
        return Shown("machines", "Machines", "machines", values)

    async def _images(self, place: Place, _: str) -> Shown:
        return Shown("images", "Images", "images", {"rows": things.images(place)})

    async def _image(self, place: Place, name: str) -> Shown:
        for image in place.known.images.values():
            if (image.workspace, image.image_id) == (place.account, name):
                base = image.recipe.base
                values = {
                    "image": image,
                    "users": things.users_of(place, name)[:50],
                    "base_name": f"debian_slim({base.python_version})"
                    if isinstance(base, DebianSlim)
                    else type(base).__name__,
                    "steps": [type(step).__name__ for step in image.recipe.steps],
                }
                return Shown("image", name, "images", values)
        return missing("images", f"image {name}")

    async def _secrets(self, place: Place, _: str) -> Shown:
        return Shown("secrets", "Secrets", "secrets", {"rows": things.secrets(place)})

    # --- calls -------------------------------------------------------------------------------------

    async def _calls(self, place: Place, _: str) -> Shown:
        values = {
            "rows": calls.calls(place),
            "states": calls.STATES,
            "kept": len(place.tally),
            "skipped": place.tally.skipped,
        }
        return Shown("calls", "Calls", "calls", values)

    async def _call(self, place: Place, name: str) -> Shown:
        try:
            inside = await stored.inside(await self._bus(place), place.environment, name)
        except ValueError:
            return missing("calls", "this call")
        call = place.tally.call(name)
        if call is not None and call.environment != place.environment:
            call = None
        if call is None and not inside.rows:
            return missing("calls", f"call {name}")
        rows = paged(inside.rows, place.page)
        values = {"call_id": name, "call": call, "rows": rows, "is_cut": inside.is_cut}
        return Shown("call", name, "calls", values)

    async def _dead(self, place: Place, _: str) -> Shown:
        bus = await self._bus(place)
        found, total = await asyncio.gather(
            stored.letters(bus, place.environment), stored.count_letters(bus, place.environment)
        )
        function = place.asked("function")
        kept = [each for each in found if not function or each.function_id == function]
        values = {"rows": paged(kept, place.page), "total": total, "read": len(found)}
        return Shown("dead", "Dead letters", "dead", values)

    async def _letter(self, place: Place, name: str) -> Shown:
        try:
            found = await letters.find(await self._bus(place), place.environment, name)
        except ValueError:
            found = None
        if found is None:
            return missing("dead", f"dead letter {name}")
        return Shown("letter", found.letter_id, "dead", {"letter": found})

    async def _logs(self, place: Place, _: str) -> Shown:
        chosen = place.asked("since")
        since = chosen if chosen in logs.WINDOWS else "1h"
        since_s = place.now - logs.WINDOWS[since][1]
        found = await logs.newest(await self._bus(place), logs.wanted(place), since_s)
        names = [
            (each.function_id, f"{each.app_name}::{each.spec.name}")
            for each in place.known.functions_of(place.account, place.environment)[:1000]
        ]
        values = {"found": found, "windows": logs.WINDOWS, "since": since, "functions": names}
        return Shown("logs", "Logs", "logs", values)

    # --- what users keep ---------------------------------------------------------------------------

    async def _collections(self, place: Place, _: str) -> Shown:
        bus = await self._bus(place)
        limit = asyncio.Semaphore(COUNTED_AT_ONCE)

        async def count(record: Any) -> int | None:
            async with limit:
                try:
                    return await stored.held(bus, record)
                except BusError:
                    return None

        values: dict[str, Any] = {}
        for kind in ("dict", "queue"):
            rows = things.collections(place, kind)
            counts = await asyncio.gather(*map(count, rows.rows))
            counted = list(zip(rows.rows, counts, strict=True))
            values[f"{kind}s"] = Paged(counted, rows.page, rows.total)
        return Shown("collections", "Dicts and queues", "collections", values)

    async def _volumes(self, place: Place, _: str) -> Shown:
        store = VolumeStore(await self._bus(place))
        names, heads = await asyncio.gather(store.names(place.environment), store.heads())
        by_id = {head.volume_id: head for head in heads}
        rows = paged([(name, by_id.get(name.volume_id)) for name in names], place.page)
        return Shown("volumes", "Volumes", "volumes", {"rows": rows})

    async def _volume(self, place: Place, name: str) -> Shown:
        store = VolumeStore(await self._bus(place))
        try:
            found = await store.find(place.environment, name)
            head, tree = await store.newest(found.volume_id)
        except (VolumeMissing, VolumeDamaged, ValueError):
            return missing("volumes", f"volume {name}")
        listing = things.listing(tree, place.asked("path"), place.page)
        if listing is None:
            return missing("volumes", f"{place.asked('path')} in volume {name}")
        values = {"volume": found, "head": head, "listing": listing}
        return Shown("volume", name, "volumes", values)
