"""What the gateway refuses of buckets, volumes and files, whatever client asks."""

import msgspec
import pytest
from squall_contracts.buckets import BucketMount
from squall_contracts.functions import FileEntry, FunctionSpec
from squall_contracts.secrets import SecretUse
from squall_contracts.volumes import VolumeMount
from squall_gateway.mounts import mount_problems
from squall_gateway.validation import InvalidFieldError, check_function

from tests.services.gateway.conftest import spec

GOOD = BucketMount(path="/data", bucket="things", endpoint_url="https://s3:9000", key_prefix="a/")


def problems(*buckets: BucketMount, secrets: tuple[SecretUse, ...] = ()) -> list[str]:
    made: FunctionSpec = msgspec.structs.replace(spec("f"), buckets=buckets, secrets=secrets)
    return list(mount_problems(made))


def test_a_bucket_as_it_should_be_is_taken() -> None:
    assert problems(GOOD, secrets=(SecretUse(name="keys", bucket="/data"),)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": "/tmp"}, "can't be a mount path"),
        ({"bucket": "../other"}, "can't be the name of a bucket"),
        ({"bucket": "a:b"}, "can't be the name of a bucket"),
        ({"key_prefix": "a/../b/"}, "key_prefix"),
        ({"key_prefix": "/a/"}, "key_prefix"),
        ({"key_prefix": "a"}, "key_prefix"),
        ({"endpoint_url": "https://me:secret@s3"}, "endpoint"),
        ({"endpoint_url": "file:///etc"}, "endpoint"),
        ({"endpoint_url": "http://s3\nregion = x"}, "endpoint"),
    ],
)
def test_one_that_could_reach_elsewhere_is_refused(change: dict[str, str], said: str) -> None:
    (problem,) = problems(msgspec.structs.replace(GOOD, **change))
    assert said in problem
    assert "secret" not in problem


def test_two_at_one_path_and_a_secret_for_none_are_refused() -> None:
    assert "mounted twice" in problems(GOOD, GOOD)[0]
    assert "no bucket at /x" in problems(GOOD, secrets=(SecretUse(name="k", bucket="/x"),))[0]


VOLUME = VolumeMount(path="/data", volume_id="vo-1", sub_path="a/b")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": "data"}, "can't be a mount path"),
        ({"path": "/a/../root"}, "can't be a mount path"),
        ({"path": "/"}, "can't be a mount path"),
        ({"path": "/a//b"}, "can't be a mount path"),
        ({"volume_id": "../vo-1"}, "is not the id of a volume"),
        ({"volume_id": "vo-1/../../x"}, "is not the id of a volume"),
        ({"volume_id": ".."}, "is not the id of a volume"),
        ({"sub_path": "a/../../b"}, "sub_path"),
        ({"sub_path": "/a"}, "sub_path"),
        ({"sub_path": "."}, "sub_path"),
    ],
)
def test_volume_that_could_reach_elsewhere_is_refused(change: dict[str, str], said: str) -> None:
    assert not list(mount_problems(msgspec.structs.replace(spec("f"), volumes=(VOLUME,))))
    wrong = msgspec.structs.replace(VOLUME, **change)
    (problem,) = mount_problems(msgspec.structs.replace(spec("f"), volumes=(wrong,)))
    assert said in problem


@pytest.mark.parametrize("path", ["/root/../etc/passwd", "relative", "/..", "/a\0b", ""])
def test_file_that_would_lie_elsewhere_is_refused(path: str) -> None:
    good = FileEntry(path="/root/a.py", sha256="0" * 64, size_bytes=1)
    check_function(spec("f", files=(good,)))
    with pytest.raises(InvalidFieldError, match="absolute path"):
        check_function(spec("f", files=(msgspec.structs.replace(good, path=path),)))
