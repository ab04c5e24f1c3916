"""squall.Volume against a real server: names, files, uploads, and what is refused."""

import asyncio
import io
import os
import pickle
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import squall
from squall._apps.spec import plan
from squall.exception import AlreadyExistsError, InvalidError, NotFoundError
from squall.volume import FileEntryType

from .platform import Platform


@pytest.fixture
def volume(platform: Platform) -> squall.Volume:
    return squall.Volume.from_name(uuid.uuid4().hex, create_if_missing=True)


def put(volume: squall.Volume, path: str, data: bytes, *, force: bool = False) -> None:
    with volume.batch_upload(force=force) as batch:
        batch.put_file(io.BytesIO(data), path)


def names(volume: squall.Volume, path: str = "/", *, recursive: bool = False) -> list[str]:
    return [entry.path for entry in volume.listdir(path, recursive=recursive)]


def text(volume: squall.Volume, path: str) -> bytes:
    return b"".join(volume.read_file(path))


def test_files_are_listed_and_read_as_they_were_put(volume: squall.Volume) -> None:
    put(volume, "/data/test.json", b"{}")
    put(volume, "data/nested/config.txt", b"x = 1")
    assert names(volume) == ["data"]
    assert names(volume, "/data") == ["data/nested", "data/test.json"]
    assert text(volume, "/data/nested/config.txt") == b"x = 1"
    (entry,) = volume.listdir("data/test.json")
    assert (entry.type, entry.size) == (FileEntryType.FILE, 2)
    assert [entry.path for entry in volume.iterdir("/")] == [
        "data", "data/nested", "data/nested/config.txt", "data/test.json",
    ]  # fmt: skip
    into = io.BytesIO()
    assert volume.read_file_into_fileobj("data/test.json", into) == 2
    assert into.getvalue() == b"{}"


def test_a_directory_comes_back_whole(volume: squall.Volume, tmp_path: Path) -> None:
    large = os.urandom(9 * 1024 * 1024)
    (tmp_path / "large").write_bytes(large)
    (tmp_path / "empty" / "ü b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("large")
    (tmp_path / "script").write_bytes(b"#!")
    (tmp_path / "script").chmod(0o755)
    with volume.batch_upload() as batch:
        batch.put_directory(tmp_path, "/up")
    assert names(volume, "up", recursive=True) == [
        "up/empty", "up/empty/ü b", "up/large", "up/link", "up/script",
    ]  # fmt: skip
    assert text(volume, "up/link") == large
    with volume.batch_upload(force=True) as again:
        again.put_directory(tmp_path, "/up")
    assert again.sent_bytes == 0


def test_existing_files_are_replaced_only_by_force(volume: squall.Volume) -> None:
    put(volume, "a", b"1")
    with pytest.raises(FileExistsError, match="a exist"):
        put(volume, "a", b"2")
    assert text(volume, "a") == b"1"
    put(volume, "a", b"2", force=True)
    assert text(volume, "a") == b"2"


def test_a_batch_with_an_exception_uploads_nothing(volume: squall.Volume) -> None:
    with pytest.raises(RuntimeError), volume.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"1"), "a")
        raise RuntimeError
    assert names(volume) == []


def test_files_are_copied_removed_and_missed(volume: squall.Volume) -> None:
    put(volume, "d/a", b"1")
    volume.copy_files(["d/a"], "b")
    volume.copy_files(["d"], "e", recursive=True)
    assert text(volume, "e/a") == b"1"
    with pytest.raises(IsADirectoryError, match="recursively"):
        volume.remove_file("d")
    volume.remove_file("d", recursive=True)
    assert names(volume, recursive=True) == ["b", "e", "e/a"]
    for missing in (
        lambda: volume.remove_file("d/a"),
        lambda: text(volume, "d/a"),
        lambda: volume.listdir("d"),
        lambda: volume.copy_files(["d/a"], "x"),
    ):
        with pytest.raises(FileNotFoundError, match="d"):
            missing()


@pytest.mark.parametrize(
    "use",
    [
        lambda v: v.listdir("../x"),
        lambda v: v.listdir("/*"),
        lambda v: list(v.read_file("a/../../b")),
        lambda v: v.remove_file("a\0b"),
        lambda v: v.batch_upload().put_file(io.BytesIO(), "../up"),
        lambda v: v.batch_upload().put_file(io.StringIO(), "a"),
        lambda v: v.copy_files("abc", "d"),
        lambda v: v.with_mount_options(sub_path="../up"),
        lambda v: v.read_only().remove_file("a"),
        lambda v: v.read_only().batch_upload(),
        lambda v: squall.Volume.from_name("a/b"),
        lambda v: squall.Volume.from_name(".." * 40),
        lambda v: squall.Volume.from_id("../vo"),
        lambda v: squall.Volume(),
    ],
)
def test_bad_names_and_paths_are_refused(
    volume: squall.Volume, use: Callable[[squall.Volume], Any]
) -> None:
    with pytest.raises(InvalidError):
        use(volume)


def test_a_remote_path_names_a_file(volume: squall.Volume) -> None:
    with pytest.raises(ValueError, match="ends with '/'"):
        volume.batch_upload().put_file(io.BytesIO(), "a/")


@pytest.mark.parametrize("path", ["/", "/root", "/tmp", "data", "/a/../b", "/a/", "//a", "/a/./b"])
def test_a_bad_mount_path_is_named(path: str) -> None:
    volume = squall.Volume.from_name("v")
    with pytest.raises(InvalidError, match=r"volumes: .*mount path"):
        squall.App("a").function(volumes={path: volume})
    with pytest.raises(InvalidError, match=r"volumes: .*mount path"):
        squall.App("a", volumes={path: volume})


def test_a_volume_is_mounted_once(platform: Platform) -> None:
    volume = squall.Volume.from_name("v")
    with pytest.raises(InvalidError, match="/a and at /b"):
        squall.App("a").function(volumes={"/a": volume, "/b": volume.read_only()})
    with pytest.raises(InvalidError, match=r"must be a squall\.Volume or .*, not str"):
        squall.App("a").cls(volumes={"/a": "v"})  # type: ignore[arg-type]


def test_volumes_are_made_listed_renamed_and_deleted(platform: Platform) -> None:
    first, second = uuid.uuid4().hex, uuid.uuid4().hex
    with pytest.raises(NotFoundError, match="create_if_missing"):
        squall.Volume.from_name(first).listdir()
    squall.Volume.objects.create(first)
    squall.Volume.objects.create(first, allow_existing=True)
    with pytest.raises(AlreadyExistsError):
        squall.Volume.objects.create(first)
    found = squall.Volume.from_name(first).hydrate()
    put(found, "kept", b"1")
    squall.Volume.rename(first, second)
    assert text(squall.Volume.from_name(second), "kept") == b"1"
    assert text(squall.Volume.from_id(found.object_id), "kept") == b"1"
    assert second in {volume.name for volume in squall.Volume.objects.list()}
    assert squall.Volume.from_name(second).info().files == 1
    squall.Volume.delete(second)
    squall.Volume.delete(second, allow_missing=True)
    with pytest.raises(NotFoundError):
        squall.Volume.delete(second)


def test_environments_have_volumes_of_their_own(platform: Platform) -> None:
    name = uuid.uuid4().hex
    squall.Volume.objects.create(name, environment_name="staging")
    with pytest.raises(NotFoundError):
        squall.Volume.from_name(name).listdir()
    assert squall.Volume.from_name(name, environment_name="staging").listdir() == []


def test_an_ephemeral_volume_goes_with_its_block(platform: Platform) -> None:
    with squall.Volume.ephemeral() as volume:
        put(volume, "a", b"1")
        assert text(pickle.loads(pickle.dumps(volume)), "a") == b"1"
    with pytest.raises(NotFoundError):
        volume.listdir()


def test_outside_a_container_nothing_is_committed(volume: squall.Volume) -> None:
    with pytest.raises(RuntimeError, match="in a container"):
        volume.commit()


async def test_everything_has_its_twin(platform: Platform) -> None:
    volume = squall.Volume.from_name(uuid.uuid4().hex, create_if_missing=True)
    async with volume.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"1"), "a")
    pieces = [piece async for piece in volume.read_file.aio("a")]
    assert (pieces, len(await volume.listdir.aio())) == ([b"1"], 1)
    await asyncio.gather(volume.copy_files.aio(["a"], "b"), volume.copy_files.aio(["a"], "c"))
    assert [entry.path async for entry in volume.iterdir.aio()] == ["a", "b", "c"]


def test_bucket_mounts_are_checked_where_they_are_made() -> None:
    keys = squall.Secret.from_dict({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
    mount = squall.CloudBucketMount("things", "http://s3:9000", "in/", keys, read_only=True)
    app = squall.App("buckets")

    @app.function(volumes={"/data": mount}, serialized=True)
    def f() -> None: ...

    made = plan(app).functions[0]
    (sent,) = made.buckets
    assert (sent.path, sent.bucket, sent.key_prefix, sent.read_only) == (
        "/data", "things", "in/", True,
    )  # fmt: skip
    refused: dict[str, dict[str, object]] = {
        "must end in '/'": {"key_prefix": "in"},
        "no part of it": {"key_prefix": "in/../"},
        "OIDC": {"oidc_auth_role_arn": "arn:aws:iam::1:role/x"},
        "needs secret=": {"requester_pays": True, "secret": None},
        "lacks AWS_SECRET_ACCESS_KEY": {
            "secret": squall.Secret.from_dict({"AWS_ACCESS_KEY_ID": "a"})
        },
        "without credentials": {"bucket_endpoint_url": "http://me:secret@s3"},
    }
    for message, options in refused.items():
        chosen: dict[str, object] = {"secret": keys, **options}
        with pytest.raises(InvalidError, match=message):
            squall.CloudBucketMount("things", **chosen)  # type: ignore[arg-type]
