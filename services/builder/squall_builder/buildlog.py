"""Reading the engine's build stream: lines for people, and which step of the recipe they are."""

import re
from typing import Any, Final

from squall_builder.built import BuildError, Say
from squall_builder.core import Plan

STEP: Final = re.compile(r"Step (\d+)/\d+ : (\w+)")
NOISE: Final = re.compile(
    r"^( ---> |Removing intermediate container |Successfully (built|tagged) )"
)
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
PULL_NEWS: Final = ("Pulling from", "Pull complete", "Digest:", "Status:")
"""Of a pull, what is worth a line: the rest is progress of single layers."""
NOT_REACHED: Final = re.compile(
    r"dial tcp|no such host|i/o timeout|connection refused|TLS handshake|x509|network is unreach"
    r"|Client\.Timeout|EOF",
    re.IGNORECASE,
)
TELLING: Final = re.compile(r"\berror\b|\bfatal\b|not found|no such", re.IGNORECASE)
EXIT_CODE: Final = re.compile(r"returned a non-zero code: (\d+)")


class BuildLog:
    """Says each line with its step, and explains a failure."""

    def __init__(self, planned: Plan, say: Say) -> None:
        self._plan = planned
        self._say = say
        self._part = 0
        self._step = 0
        self._instruction = ""
        self._recent: list[str] = []
        self._rest = ""

    def part(self, number: int) -> None:
        """What follows is of the first Dockerfile (0), or of the one after that hidden step."""
        self._part = number

    async def hidden(self, step: int) -> None:
        """A step with secrets begins."""
        self._instruction = "RUN"
        self._recent = []
        if step != self._step:
            self._step = step
            await self._out(self._plan.titles[step])

    async def output(self, text: str) -> None:
        """What it prints, in pieces."""
        await self._text(COLOUR.sub("", text))

    async def event(self, event: dict[str, Any]) -> None:
        """One JSON object of the stream."""
        if "stream" in event:
            await self._text(COLOUR.sub("", str(event["stream"])))
        elif str(event.get("status", "")).startswith(PULL_NEWS):
            await self._out(f"{event['status']} {event.get('id', '')}".strip())

    async def _text(self, text: str) -> None:
        """Output comes in pieces: a line is said once its end is there."""
        if STEP.match(text):
            await self.flush()
        *whole, self._rest = f"{self._rest}{text}".split("\n")
        for line in whole:
            await self._line(line.rstrip("\r").rpartition("\r")[2].rstrip())

    async def flush(self) -> None:
        """Say what came without the end of a line."""
        rest, self._rest = self._rest, ""
        await self._line(rest.rstrip())

    async def _line(self, line: str) -> None:
        started = STEP.match(line)
        if started is not None:
            before = self._step
            self._step = self._plan.owner(int(started[1]), self._part)
            self._instruction = started[2].upper()
            self._recent = []
            if self._step != before or (int(started[1]) == 1 and not self._part):
                await self._out(self._plan.titles[self._step])
        elif line.strip() and not NOISE.match(line):
            self._recent = [*self._recent[-49:], line.strip()]
            await self._out(line)

    async def _out(self, line: str) -> None:
        await self._say(line, self._step, len(self._plan.titles) - 1)

    def failure(self, message: str) -> BuildError:
        """The error of a build that the engine ended with `message`."""
        title = self._plan.titles[self._step]
        if self._instruction == "FROM" or not self._instruction:
            return BuildError(_base_failure(title, message), title)
        code = EXIT_CODE.search(message)
        if code is None:
            return BuildError(f"{title} failed: {one_line(message)}", title)
        return self.exited(int(code[1]))

    def exited(self, code: int) -> BuildError:
        """The error of a step whose command ended with `code`."""
        title = self._plan.titles[self._step]
        return BuildError(f"{title} failed with exit code {code}: {cause(self._recent)}", title)


def cause(lines: list[str]) -> str:
    """The line of a failed command's output that most likely says why."""
    telling = [line for line in lines if TELLING.search(line)]
    return one_line((telling or lines or ["it said nothing"])[-1])


def _base_failure(title: str, message: str) -> str:
    cause = one_line(message)
    if NOT_REACHED.search(message):
        return (
            f"{title}: its base image can't be pulled, no registry is reached ({cause}): mend the "
            "network or proxy, or make a base from Debian packages with `squall image bootstrap`"
        )
    return f"{title}: its base image can't be had: {cause}"


def one_line(text: str) -> str:
    return " ".join(text.split())[:500]
