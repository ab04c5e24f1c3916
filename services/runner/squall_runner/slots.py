"""Slots: one directory for each container, so that a restarted runner knows what it runs.

<slot>/record          what runs here and its handle
<slot>/position        up to where its output is stored in LOGS
<slot>/in/assignment   what the guest reads (a pipe in a warm container, and where it has secrets)
<slot>/in/files/...    spec.files
<slot>/in/authorities.pem  by which the guest knows NATS, where that shows a certificate
<slot>/in/stdin        a pipe, the standard input of a sandbox's command; stdin.eof: nothing follows
<slot>/in/template     what a guest prepares itself for, to be held as a snapshot (a pipe with secrets)
<slot>/out/flight      what the guest is running
<slot>/volumes/<n>     a view of each volume it has mounted
"""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import structlog
from squall_contracts.guest import FLIGHT_RECORD_BYTES
from squall_contracts.message import Message, decode, encode
from squall_contracts.placement import StartContainer

from squall_runner.volumes.view import take_down

log = structlog.get_logger()

LONGEST_FAILURE: Final = 300


class SlotRecord(Message, frozen=True, kw_only=True):
    """What a slot holds. `start` None: a warm container nobody was given."""

    start: StartContainer | None = None
    handle: str = ""
    site: str = ""
    """The site directory its guest imports from."""
    gpus: tuple[int, ...] = ()
    waits: bool = False
    """A warm container's guest has come to its pipe."""
    memory_bytes: int = 0
    """What a snapshot held when it was ready; 0: it isn't one, or isn't ready."""
    begun_unix_s: float = 0.0
    """When a sandbox's command began."""
    input_bytes: int = 0
    """How much of its input it was given."""
    stop_reason: str | None = None
    """Why it was told to stop; None: it wasn't."""
    overfull: str = ""
    """How much too much it had written when it was ended for that; empty: it wasn't."""


class Slot:
    """One container's directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.record = SlotRecord()

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def assignment(self) -> Path:
        return self.directory / "in" / "assignment"

    @property
    def authorities(self) -> Path:
        return self.directory / "in" / "authorities.pem"

    @property
    def input(self) -> Path:
        return self.directory / "in" / "stdin"

    @property
    def end_of_input(self) -> Path:
        return self.directory / "in" / "stdin.eof"

    @property
    def files(self) -> Path:
        return self.directory / "in" / "files"

    @property
    def flight(self) -> Path:
        return self.directory / "out" / "flight"

    @property
    def template(self) -> Path:
        return self.directory / "in" / "template"

    def failure(self) -> str:
        """One line why its guest could not be held as a snapshot; empty: it didn't say.
        The line is user code's: not to be trusted, nor to be read at any length."""
        path, flags = self.directory / "out" / "failure", os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
        except OSError:
            return ""
        try:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            said = os.read(descriptor, LONGEST_FAILURE) if regular else b""
        finally:
            os.close(descriptor)
        return " ".join(said.decode(errors="replace").split())

    def make(self, *, pipe: bool = False) -> None:
        """Lay the directory anew. Its parent is closed to others, so modes inside serve containers
        whose user is not ours."""
        self.forget()
        self.files.mkdir(parents=True, mode=0o755)
        self.flight.parent.mkdir()
        self.flight.parent.chmod(0o777)
        with self.flight.open("wb") as record:
            record.truncate(FLIGHT_RECORD_BYTES)
        self.flight.chmod(0o666)
        os.mkfifo(self.input, 0o600)
        if pipe:
            make_pipe(self.assignment)

    def note(self, **changes: object) -> None:
        """Change the record, on disk as well: whole or not at all."""
        self.record = msgspec.structs.replace(self.record, **changes)
        self._write("record", encode(self.record))

    def remember(self, **changes: object) -> None:
        """As `note`, of a container that runs: it goes on where the disk is full. A runner that starts
        anew then knows it as it was, or removes it."""
        try:
            self.note(**changes)
        except OSError as error:
            log.warning("slot.not_written", slot=self.name, error=str(error))

    def note_position(self, position: str) -> None:
        """Up to where its output is stored. Where the disk is full, a runner that starts anew stores
        what follows once more."""
        try:
            self._write("position", position.encode())
        except OSError as error:
            log.warning("slot.not_written", slot=self.name, error=str(error))

    def position(self) -> str:
        """Up to where its output is stored; empty: nothing is."""
        try:
            return (self.directory / "position").read_text()
        except FileNotFoundError:
            return ""

    def load(self) -> bool:
        """Read the record; False when there is none that can be read."""
        try:
            self.record = decode((self.directory / "record").read_bytes(), SlotRecord)
        except (FileNotFoundError, msgspec.DecodeError, msgspec.ValidationError):
            return False
        return True

    def forget(self) -> None:
        """Remove it; what is still mounted in it is taken down first. OSError."""
        take_down(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _write(self, name: str, data: bytes) -> None:
        fresh = self.directory / f".{name}"
        fresh.write_bytes(data)
        fresh.rename(self.directory / name)


def make_pipe(path: Path) -> None:
    """One that a guest whose user is not ours can read."""
    os.mkfifo(path)
    path.chmod(0o644)


class Slots:
    """All slots of a runner, in one directory only it can enter."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.chmod(0o700)

    def slot(self, name: str) -> Slot:
        return Slot(self.directory / name)

    def __iter__(self) -> Iterator[Slot]:
        for directory in sorted(self.directory.iterdir()):
            yield Slot(directory)
