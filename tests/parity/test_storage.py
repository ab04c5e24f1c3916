"""Lines 73 to 76: volumes, dicts, queues and secrets."""

import io
import queue
from pathlib import Path
from types import ModuleType

import pytest
import squall
from squall.exception import InvalidError, NotFoundError

from ..system.conftest import Server


def test_73_volume_is_read_and_changed_from_here(world: Server, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "b.txt").write_text("b")
    with squall.Volume.ephemeral() as volume:
        with volume.batch_upload() as batch:
            batch.put_file(io.BytesIO(b"a" * 9_000_000), "/large.bin")
            batch.put_directory(tmp_path, "/dir")
        names = sorted(entry.path for entry in volume.listdir("/", recursive=True))
        assert names == ["dir", "dir/inner", "dir/inner/b.txt", "large.bin"]
        assert sum(map(len, volume.read_file("large.bin"))) == 9_000_000
        volume.copy_files(["/dir/inner/b.txt"], "/copy.txt")
        assert b"".join(volume.read_file("copy.txt")) == b"b"
        with pytest.raises(FileExistsError), volume.batch_upload() as batch:
            batch.put_file(io.BytesIO(b"c"), "/copy.txt")
        with volume.batch_upload(force=True) as batch:
            batch.put_file(io.BytesIO(b"c"), "/copy.txt")
        volume.remove_file("/copy.txt")
        with pytest.raises(FileNotFoundError):
            volume.remove_file("/copy.txt")
        with pytest.raises(ValueError), volume.batch_upload() as batch:
            batch.put_file(io.BytesIO(b""), "/ends/")
        with pytest.raises(InvalidError):
            volume.with_mount_options(sub_path="../up")
        with pytest.raises(InvalidError, match="read-only"):
            volume.read_only().remove_file("/large.bin")
        with pytest.raises(InvalidError):
            volume.listdir("/*")
    with pytest.raises(InvalidError, match="version"):
        squall.Volume.from_name("x", version=3)
    with pytest.raises(NotFoundError):
        squall.Volume.from_name("no-such-volume").listdir("/")


def test_74_dict_keeps_what_it_is_told(world: Server) -> None:
    named = squall.Dict.from_name("parity-dict", create_if_missing=True)
    named.clear()
    assert named.put("k", [1], skip_if_exists=True) is True
    assert named.put("k", [2], skip_if_exists=True) is False
    assert named["k"] == [1]
    assert (named.pop("k"), named.pop("k", "gone"), named.get("k")) == ([1], "gone", None)
    with pytest.raises(KeyError):
        named.pop("k")
    with pytest.raises(KeyError):
        named["k"]
    with squall.Dict.ephemeral() as scratch:
        scratch.update({("t", 1): "tuple"}, word="w")
        assert sorted(scratch.values()) == ["tuple", "w"]
        assert ("t", 1) in scratch
        assert scratch.len() == 2
        del scratch["word"]
        assert list(scratch.keys()) == [("t", 1)]
    with pytest.raises(RuntimeError):
        squall.Dict()
    with pytest.raises(NotFoundError):
        squall.Dict.from_name("no-such-dict").get("k")


def test_75_queue_blocks_or_not_and_has_partitions(world: Server) -> None:
    with squall.Queue.ephemeral() as line:
        assert line.get(block=False) is None
        assert line.get_many(5, block=False) == []
        with pytest.raises(queue.Empty):
            line.get(timeout=0.05)
        line.put_many([1, 2, 3])
        line.put("apart", partition="p")
        assert list(line.iterate()) == [1, 2, 3]
        assert (line.len(), line.len(total=True), line.len(partition="p")) == (3, 4, 1)
        assert line.get_many(10) == [1, 2, 3]
        assert line.get(partition="p") == "apart"
        with pytest.raises(InvalidError):
            line.put(1, partition="x" * 65)
        with pytest.raises(InvalidError):
            line.len(partition="p", total=True)
        line.put_many(list(range(5000)))
        with pytest.raises(queue.Full):
            line.put(1, block=False)
        line.clear()
        assert line.len() == 0


def test_76_secrets_come_from_everywhere(
    world: Server, parity: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("FROM_FILE=file\n")
    monkeypatch.setenv("FROM_HERE", "here")
    squall.Secret.objects.create("parity-secret", {"STORED": "stored"}, overwrite=True)
    stored = squall.Secret.from_name("parity-secret", required_keys=["STORED"])
    app = squall.App("p-76")

    def names() -> list[str | None]:
        import os

        wanted = ("FROM_FILE", "FROM_HERE", "STORED", "GIVEN", "NOTHING", "ADDED")
        return [os.environ.get(name) for name in wanted]

    app.function(
        serialized=True,
        name="names",
        secrets=[
            squall.Secret.from_dotenv(tmp_path),
            squall.Secret.from_local_environ(["FROM_HERE"]),
            squall.Secret.from_dict({"GIVEN": "given", "NOTHING": None}),
            stored,
        ],
    )(names)
    stored.update({"ADDED": "added"})
    with app.run():
        assert app.functions["names"].remote() == [
            "file", "here", "stored", "given", None, "added",
        ]  # fmt: skip
    with pytest.raises(InvalidError, match="NOT_SET"):
        squall.Secret.from_local_environ(["NOT_SET"])
    with pytest.raises(NotFoundError, match="MISSING"):
        squall.Secret.from_name("parity-secret", required_keys=["MISSING"]).hydrate()
