"""What the gateway refuses of buckets, whatever client asks."""

import msgspec
import pytest
from squall_contracts.buckets import BucketMount
from squall_contracts.functions import FunctionSpec
from squall_contracts.secrets import SecretUse
from squall_gateway.mounts import mount_problems

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
