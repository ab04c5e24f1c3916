"""Volumes: files that outlive containers and are shared between them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from squall import _client, _sync, _validate
from squall._apps.places import require
from squall._modal.handle import Handle, Page
from squall._modal.old_volume import OldLookUps
from squall._shared.iterating import synced_items
from squall._volume.errors import translated
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall_volumes.model import Changes, Entry, Tree
    from squall_volumes.store import VolumeStore

    from squall._volume.batch import BatchUpload
    from squall._volume.ephemeral import Ephemeral
    from squall._volume.manager import VolumeManager

_VERSIONS: Final = (None, 1, 2)


class FileEntryType(IntEnum):
    """What a path is."""

    UNSPECIFIED = 0
    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3


@dataclass(frozen=True)
class FileEntry:
    """One path of a volume."""

    path: str
    """From the volume's root, without a slash in front."""
    type: FileEntryType
    mtime: int
    """Seconds since 1970."""
    size: int
    """Bytes; 0 for directories."""


@dataclass(frozen=True)
class VolumeInfo:
    """What is known of a volume as a whole."""

    name: str | None
    created_at: datetime
    created_by: str | None
    """None: nobody noted it."""
    version: int
    """Commits so far."""
    files: int
    size_bytes: int
    modified_at: datetime


class _Objects:
    def __get__(self, _instance: object, _owner: type) -> "VolumeManager":
        from squall._volume.manager import VolumeManager

        return VolumeManager()


class _Managed:
    """A method of the manager's, called on the class."""

    def __init__(self, verb: str) -> None:
        self._verb = verb

    def __get__(self, _instance: object, owner: "type[Volume]") -> Any:
        return getattr(owner.objects, self._verb)


class Volume(Handle, OldLookUps):
    """A volume by name or id. Looking it up costs nothing until it is used.

    Mounted in a function (`volumes={"/data": volume}`) it is a directory there. What is written is
    committed in the background, when the container ends, and by `commit`; other containers see it
    when they start, or `reload`. Of two that change the same file the last commit wins; changes of
    different files both stay.
    """

    def __init__(self) -> None:
        raise InvalidError("look a volume up with Volume.from_name(…), Volume.from_id(…)")

    _name: str | None
    _environment: str | None
    _create: bool
    _id: str | None
    _read_only: bool
    _sub_path: str

    @classmethod
    def _new(cls, **parts: Any) -> "Volume":
        made = object.__new__(cls)
        chosen = {
            "_name": None,
            "_environment": None,
            "_create": False,
            "_id": None,
            "_read_only": False,
            "_sub_path": "",
            **parts,
        }
        for name, value in chosen.items():
            setattr(made, name, value)
        return made

    # --- look-ups ---------------------------------------------------------------------------------

    @classmethod
    def from_name(
        cls,
        name: str,
        *,
        environment_name: str | None = None,
        create_if_missing: bool = False,
        version: int | None = None,
        create_options: object = None,
        client: object = None,
    ) -> "Volume":
        """The volume of that name; without a name for the environment, the configured one.

        When first used: NotFoundError if there is none, unless `create_if_missing`. `version` is
        taken for compatibility: there is one kind. InvalidError for a bad name.
        """
        if version not in _VERSIONS:
            raise InvalidError(f"version must be None, 1 or 2, not {version!r}")
        if environment_name is not None:
            _validate.environment_name(environment_name)
        return cls._new(
            _name=_validate.object_name("name", name),
            _environment=environment_name,
            _create=_validate.truth("create_if_missing", create_if_missing),
        )

    @classmethod
    def from_id(cls, volume_id: str, client: object = None) -> "Volume":
        """The volume with that id (`vo-…`). When first used: NotFoundError if there is none."""
        _validate.text("volume_id", volume_id)
        if not volume_id.startswith("vo-") or not volume_id[3:].isalnum():
            raise InvalidError(f"{volume_id!r} is not the id of a volume, which begins with 'vo-'")
        return cls._new(_id=volume_id)

    @classmethod
    def ephemeral(
        cls,
        client: object = None,
        environment_name: str | None = None,
        version: int | None = None,
        create_options: object = None,
    ) -> "Ephemeral":
        """`with Volume.ephemeral() as volume:` a volume without a name that goes with the block."""
        from squall._volume.ephemeral import Ephemeral

        return Ephemeral(cls)

    async def _page(self) -> Page:
        await self._resolved()
        return Page(f"volumes/{self._name or ''}", self._environment)

    @_sync.synced
    async def hydrate(self, client: object = None) -> "Volume":
        """Look it up now. NotFoundError."""
        await self._resolved()
        return self

    @property
    def object_id(self) -> str:
        """Its id. AttributeError before it was looked up."""
        if self._id is None:
            raise AttributeError("the volume has no object_id yet: call hydrate()")
        return self._id

    @property
    def name(self) -> str | None:
        """None for a volume known by its id alone."""
        return self._name

    def __repr__(self) -> str:
        return f"Volume({self._name or self._id!r})"

    def __reduce__(self) -> tuple[Callable[..., "Volume"], tuple[dict[str, Any]]]:
        return _unpickled, (dict(vars(self)),)

    # --- how it is mounted ------------------------------------------------------------------------

    def with_mount_options(
        self, *, read_only: bool | None = None, sub_path: str | None = None
    ) -> "Volume":
        """The same volume, mounted otherwise: read-only, or only its directory `sub_path`, which is
        made if it is missing. None leaves what was. InvalidError for a path with `..`."""
        changes: dict[str, Any] = {}
        if read_only is not None:
            changes["_read_only"] = _validate.truth("read_only", read_only)
        if sub_path is not None:
            changes["_sub_path"] = _sub_path(sub_path)
        return self._new(**{**vars(self), **changes})

    def read_only(self) -> "Volume":
        """The same volume, not to be changed: neither in containers nor from here."""
        return self.with_mount_options(read_only=True)

    @_sync.synced
    async def commit(self) -> None:
        """In a container: make what was written here visible to others, then what others committed
        visible here. RuntimeError when it can't be, or when it isn't mounted here."""
        from squall._volume.mounted import commit

        await commit(await self._resolved())

    @_sync.synced
    async def reload(self) -> None:
        """In a container: see what others have committed. What was written here and not committed
        stays. RuntimeError while files of the volume are open, or when it isn't mounted here."""
        from squall._volume.mounted import reload

        await reload(await self._resolved())

    # --- reading ----------------------------------------------------------------------------------

    @_sync.synced
    async def listdir(self, path: str = "/", *, recursive: bool = False) -> list[FileEntry]:
        """What a directory holds, by name; a file lists itself. FileNotFoundError; InvalidError for
        a trailing `*`."""
        return [each async for each in self._entries(path, recursive)]

    @synced_items
    async def iterdir(
        self, path: str = "/", *, recursive: bool = True
    ) -> AsyncGenerator[FileEntry, None]:
        """As `listdir`, one by one, with what is below by default."""
        async for each in self._entries(path, recursive):
            yield each

    async def _entries(self, path: str, recursive: bool) -> AsyncGenerator[FileEntry, None]:
        from squall_volumes import core, paths

        async with translated():
            at = paths.listed(_validate.text("path", path))
            _, tree = await (await self._store()).newest(await self._resolved())
            found = core.listing(tree, at, recursive=recursive)
        for each, entry in found:
            yield _file_entry(each, entry)

    @synced_items
    async def read_file(self, path: str) -> AsyncGenerator[bytes, None]:
        """A file's bytes, piece by piece. FileNotFoundError, IsADirectoryError."""
        from squall_volumes import core, download, paths

        async with translated():
            at = paths.clean(_validate.text("path", path))
            store = await self._store()
            _, tree = await store.newest(await self._resolved())
            _, entry = core.find_file(tree, at)
            async for piece in download.content(store.objects, entry):
                yield piece

    @_sync.synced
    async def read_file_into_fileobj(
        self, path: str, fileobj: BinaryIO, progress_cb: Callable[..., Any] | None = None
    ) -> int:
        """Write a file's bytes to `fileobj`; returns how many. Raises as `read_file`."""
        size = 0
        async for piece in self.read_file._work(path):
            await asyncio.to_thread(fileobj.write, piece)
            size += len(piece)
        return size

    @_sync.synced
    async def info(self) -> VolumeInfo:
        """NotFoundError."""
        async with translated():
            head = await (await self._store()).head(await self._resolved())
        return VolumeInfo(
            name=self._name,
            created_at=datetime.fromtimestamp(head.created_unix_s, UTC),
            created_by=None,
            version=head.version,
            files=head.files,
            size_bytes=head.size_bytes,
            modified_at=datetime.fromtimestamp(head.modified_unix_s, UTC),
        )

    # --- changing ---------------------------------------------------------------------------------

    def batch_upload(self, force: bool = False) -> "BatchUpload":
        """`with volume.batch_upload() as batch:` add files; they are uploaded, all or none, when
        the block ends without an exception. FileExistsError then, without `force`, if one exists
        already."""
        from squall._volume.batch import BatchUpload

        self._check_writable()
        return BatchUpload(self, force=_validate.truth("force", force))

    @_sync.synced
    async def remove_file(self, path: str, recursive: bool = False) -> None:
        """FileNotFoundError; IsADirectoryError without `recursive`."""
        from squall_volumes import core, paths

        async with translated():
            at = paths.clean(_validate.text("path", path))
        await self._change(lambda tree: core.removal(tree, at, recursive=recursive))

    @_sync.synced
    async def copy_files(
        self, src_paths: Sequence[str], dst_path: str, recursive: bool = False
    ) -> None:
        """Copy within the volume by the rules of `cp`: nothing is read or sent.

        FileNotFoundError, IsADirectoryError without `recursive`, NotADirectoryError.
        """
        from squall_volumes import core, paths

        if isinstance(src_paths, str):
            raise InvalidError("src_paths must be a list of paths, not a str")
        async with translated():
            sources = [paths.clean(_validate.text("src_paths", path)) for path in src_paths]
            target = paths.clean(_validate.text("dst_path", dst_path))
        await self._change(lambda tree: core.copies(tree, sources, target, recursive=recursive))

    async def _change(self, make: "Callable[[Tree], Changes]") -> None:
        self._check_writable()
        async with translated():
            await (await self._store()).commit(await self._resolved(), make)

    def _check_writable(self) -> None:
        if self._read_only:
            raise InvalidError(f"{self!r} is read-only here: look it up again to change it")

    # --- volumes as such --------------------------------------------------------------------------

    objects = _Objects()
    """`Volume.objects.create(name)`, `.list()`, `.delete(name)`."""
    rename = _Managed("rename")
    """`Volume.rename(old_name, new_name)`: see VolumeManager."""
    delete = _Managed("delete")
    """`Volume.delete(name)`: see VolumeManager."""

    # --- the rest ---------------------------------------------------------------------------------

    async def _store(self) -> "VolumeStore":
        from squall_volumes.store import VolumeStore

        client = await _client.connected()
        return VolumeStore(client.bus)

    async def _resolved(self, environment: str | None = None) -> str:
        """Its id, looked up if need be, where it names no environment in `environment`."""
        if self._id is None:
            assert self._name is not None
            client = await _client.connected()
            place = self._environment or environment or client.environment
            if self._create:
                await require(client, place)
            async with translated():
                store = await self._store()
                look_up = store.find_or_create if self._create else store.find
                self._id = (await look_up(place, self._name)).volume_id
        return self._id


def _unpickled(parts: dict[str, Any]) -> Volume:
    return Volume._new(**parts)


def _sub_path(value: str) -> str:
    parts = _validate.text("sub_path", value).strip("/").split("/")
    if "\0" in value or {"", ".", ".."} & set(parts):
        raise InvalidError(f"sub_path {value!r} must be a path in the volume, without '.' and '..'")
    return "/".join(parts)


def _file_entry(path: str, entry: "Entry") -> FileEntry:
    kinds = {"f": FileEntryType.FILE, "d": FileEntryType.DIRECTORY, "l": FileEntryType.SYMLINK}
    return FileEntry(path, kinds[entry.kind], entry.mtime_ns // 1_000_000_000, entry.size)
