"""Output as plain lines: for pipes, files and quiet runs."""

import sys

from squall_contracts.images import BuildLine
from squall_contracts.logs import LogBatch
from squall_contracts.placement import ContainerNews

from squall._console.showing import Lines, stamp


class PlainOutput:
    """Logs to the stream they were written to; everything else as lines on stderr."""

    def __init__(self, *, quiet: bool, timestamps: bool) -> None:
        self._quiet = quiet
        self._timestamps = timestamps
        self._lines = Lines()
        self._waits: dict[str, str] = {}

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._lines.write(text, sys.stderr)

    def build_started(self, image_id: str) -> None:
        self._say(f"building {image_id}")

    def build_line(self, line: BuildLine) -> None:
        place = f"[{line.step}/{line.steps}] " if line.steps else ""
        self._say(f"{place}{line.text}")

    def build_ended(self, image_id: str, state: str) -> None:
        self._say(f"{image_id} {state}")

    def app_started(self, name: str, app_id: str) -> None:
        self._say(f"{name} runs as {app_id}")

    def web_url(self, name: str, url: str) -> None:
        self._say(f"{name} is at {url}")

    def container(self, news: ContainerNews) -> None:
        if news.state == "requested" and news.waits_for:
            if self._waits.get(news.function_name) != news.waits_for:
                self._waits[news.function_name] = news.waits_for
                self._say(f"{news.function_name} waits: {news.waits_for}")
        elif news.state == "failed":
            self._say(f"{news.function_name}: container failed: {news.reason or news.container_id}")

    def logs(self, batch: LogBatch) -> None:
        for line in batch.lines:
            text = f"{stamp(line.at_unix_s)}{line.text}" if self._timestamps else line.text
            self._lines.write(text, sys.stdout if line.source == "stdout" else sys.stderr)

    def progress(self, key: int, name: str, done: int, sent: int, complete: bool) -> None:
        """Lines can't be redrawn: results speak for themselves."""

    def progress_ended(self, key: int) -> None:
        """Nothing was drawn."""

    def suspend(self, purpose: str) -> None:
        self._say(f"this terminal talks to a container ({purpose})")
        self._lines.end = "\r\n"

    def resume(self) -> None:
        self._lines.end = "\n"

    def close(self) -> None:
        self._lines.close()
