"""Output on a terminal: log lines above, and below them what is going on right now."""

import threading
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text
from squall_contracts.images import BuildLine
from squall_contracts.logs import LogBatch
from squall_contracts.placement import ENDED, ContainerNews

from squall._console.showing import stamp

_STARTING = frozenset({"requested", "placed", "starting", "importing"})


class LiveOutput:
    """Draws with rich; prints of the program itself come out above the drawing too."""

    def __init__(self, *, timestamps: bool, console: Console | None = None) -> None:
        self._timestamps = timestamps
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._lock = threading.RLock()
        self._end = "\n"
        self._tasks = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            console=self._console,
        )
        self._states = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), console=self._console
        )
        self._ids: dict[Any, Any] = {}
        self._containers: dict[str, ContainerNews] = {}
        self._live = Live(
            Group(self._states, self._tasks),
            console=self._console,
            transient=True,
            refresh_per_second=10,
        )
        self._live.start()

    def _print(self, text: Text) -> None:
        self._console.print(text, end=self._end)

    def _show(self, key: object, description: str) -> None:
        with self._lock:
            if key in self._ids:
                self._states.update(self._ids[key], description=description)
            else:
                self._ids[key] = self._states.add_task(description, total=None)

    def _hide(self, key: object) -> None:
        with self._lock:
            if (task := self._ids.pop(key, None)) is not None:
                self._states.remove_task(task)

    def build_started(self, image_id: str) -> None:
        self._show(image_id, f"building {image_id}")

    def build_line(self, line: BuildLine) -> None:
        place = f" step {line.step}/{line.steps}" if line.steps else ""
        self._show(line.image_id, f"building {line.image_id}{place}")
        self._print(Text(line.text, style="dim"))

    def build_ended(self, image_id: str, state: str) -> None:
        self._hide(image_id)
        self._print(Text(f"{image_id} {state}", style="green" if state == "ready" else "red"))

    def app_started(self, name: str, app_id: str) -> None:
        self._print(Text(f"{name} runs as {app_id}", style="dim"))

    def web_url(self, name: str, url: str) -> None:
        self._print(Text.assemble((f"{name} is at ", "dim"), (url, "underline")))

    def container(self, news: ContainerNews) -> None:
        with self._lock:
            if news.state in ENDED:
                self._containers.pop(news.container_id, None)
            else:
                self._containers[news.container_id] = news
            self._draw_function(news.function_name)
        if news.state == "failed":
            reason = news.reason or news.container_id
            self._print(Text(f"{news.function_name}: container failed: {reason}", style="red"))

    def _draw_function(self, name: str) -> None:
        all_of_it = [each for each in self._containers.values() if each.function_name == name]
        starting = [each for each in all_of_it if each.state in _STARTING]
        if not starting:
            self._hide(("function", name))
            return
        waits = next((f"; {each.waits_for}" for each in starting if each.waits_for), "")
        ready = len(all_of_it) - len(starting)
        self._show(
            ("function", name),
            f"{name}: {len(starting)} starting ({starting[0].state}), {ready} ready{waits}",
        )

    def logs(self, batch: LogBatch) -> None:
        for line in batch.lines:
            text = Text(stamp(line.at_unix_s), style="dim") if self._timestamps else Text()
            text.append_text(Text.from_ansi(line.text))
            if line.source != "stdout":
                text.stylize("yellow")
            self._print(text)

    def progress(self, key: int, name: str, done: int, sent: int, complete: bool) -> None:
        with self._lock:
            total = sent if complete else None
            if key in self._ids:
                self._tasks.update(self._ids[key], completed=done, total=total)
            else:
                self._ids[key] = self._tasks.add_task(name, completed=done, total=total)

    def progress_ended(self, key: int) -> None:
        with self._lock:
            if (task := self._ids.pop(key, None)) is not None:
                self._tasks.remove_task(task)

    def suspend(self, purpose: str) -> None:
        self._print(Text(f"this terminal talks to a container ({purpose})", style="dim"))
        self._live.stop()
        self._end = "\r\n"

    def resume(self) -> None:
        self._end = "\n"
        self._live.start()

    def close(self) -> None:
        self._live.stop()
