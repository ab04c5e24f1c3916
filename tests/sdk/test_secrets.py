"""Secrets on the client: where values come from, what is refused, and that none is shown."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import squall
from squall import _container, exception
from squall_contracts.environments import FindEnvironment
from squall_contracts.message import encode
from squall_contracts.secrets import GetSealingKey, PutSecret

from .platform import Platform

VALUE = "swordfish"
app = squall.App("sealed", secrets=[squall.Secret.from_dict({"FROM_APP": VALUE})])


@app.function(
    secrets=[squall.Secret.from_dict({"OWN": VALUE, "NONE": None}), squall.Secret.from_name("kept")]
)
def body() -> int:
    return 1


@app.function()
def plain() -> int:
    return 2


BAD: list[tuple[Callable[[], Any], str]] = [
    (squall.Secret, "Secret.from_name"),
    (lambda: squall.Secret.from_name("a b"), "is not allowed"),
    (lambda: squall.Secret.from_name("a", required_keys="KEY"), "must be a list"),
    (lambda: squall.Secret.from_name("a", environment_name="a.b"), "environment_name"),
    (lambda: squall.Secret.from_dict(["KEY"]), "must be a dict"),  # type: ignore[arg-type]
    (lambda: squall.Secret.from_dict({"1A": VALUE}), "'1A' can't name"),
    (lambda: squall.Secret.from_dict({"A": [VALUE]}), r"env_dict\['A'\] must be a str, not list"),  # type: ignore[dict-item]
    (lambda: squall.Secret.from_dict({"A": f"{VALUE}\0"}), "zero byte"),
    (lambda: squall.Secret.from_dict({"A": VALUE * 10_000}), "over 64 KiB"),
    (lambda: squall.Secret.from_local_environ(["SURELY_NOT_SET"]), "SURELY_NOT_SET not set"),
    (lambda: squall.Secret.from_local_environ("PATH"), "must be a list"),
    (squall.Environment, "Environment.from_name"),
    (lambda: squall.Environment.from_name("en-1"), "is not allowed"),
]


@pytest.mark.parametrize(("make", "said"), BAD, ids=[said for _, said in BAD])
def test_bad_input_is_refused_by_name_and_never_by_value(
    make: Callable[[], Any], said: str
) -> None:
    with pytest.raises(exception.InvalidError, match=said) as caught:
        make()
    assert VALUE not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_dotenv_is_read_from_here_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "a" / ".env").write_text(f"A={VALUE}\nB='two words' # said\nC\nexport D=4\n")
    monkeypatch.chdir(below)
    for secret in (
        squall.Secret.from_dotenv(),
        squall.Secret.from_dotenv(below),
        squall.Secret.from_dotenv(tmp_path / "a" / ".env"),
    ):
        assert secret._values == {"A": VALUE, "B": "two words", "D": "4"}
    with pytest.raises(exception.NotFoundError, match=r"no \.other in"):
        squall.Secret.from_dotenv(filename=".other")


def test_in_a_container_nothing_local_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_container._Here, "assignment", object())
    assert squall.Secret.from_local_environ(["SURELY_NOT_SET"])._values == {}
    assert squall.Secret.from_dotenv("/nowhere")._values == {}


def test_neither_repr_nor_pickle_holds_a_value() -> None:
    secret = squall.Secret.from_dict({"A": VALUE})
    assert repr(secret) == "Secret with A"
    assert VALUE.encode() not in pickle.dumps(secret)
    named = pickle.loads(pickle.dumps(squall.Secret.from_name("n", required_keys=["K"])))
    assert (named.name, named._required) == ("n", ("K",))


def test_app_is_sent_with_its_secrets_sealed_in_order(platform: Platform) -> None:
    squall.Secret.objects.create("kept", {"STORED": VALUE})
    platform.asked.clear()
    with app.run():
        [sent] = [each for each in platform.asked if hasattr(each, "functions")]
    assert VALUE.encode() not in b"".join(encode(each) for each in platform.asked)
    body_spec, plain_spec = sent.functions
    assert [(use.name, sorted(use.variables)) for use in body_spec.secrets] == [
        ("", ["FROM_APP"]),
        ("", ["OWN"]),
        ("kept", []),
    ]
    assert plain_spec.secrets == body_spec.secrets[:1]
    opened = platform.sealing.open(
        body_spec.secrets[1].variables["OWN"].wrapped,
        body_spec.secrets[1].variables["OWN"].box,
        account=platform.server.workspace.public,
        name="OWN",
    )
    assert opened == VALUE
    assert sum(isinstance(each, GetSealingKey) for each in platform.asked) == 1


def test_missing_secret_stops_the_app_before_anything_starts(platform: Platform) -> None:
    with pytest.raises(exception.NotFoundError, match="'kept'"), app.run():
        pass
    assert not [each for each in platform.asked if hasattr(each, "functions")]


def test_an_environment_is_looked_up_before_the_app_starts(platform: Platform) -> None:
    squall.Secret.objects.create("kept", {}, environment_name="staging")
    with app.run(environment_name="staging"):
        pass
    assert FindEnvironment(name="staging") in platform.asked


async def test_stored_secrets_both_ways(platform: Platform) -> None:
    with pytest.warns(exception.AsyncUsageWarning):
        squall.Secret.objects.create("kept", {"A": VALUE})
    with pytest.raises(exception.AlreadyExistsError):
        await squall.Secret.objects.create.aio("kept", {"A": VALUE})
    await squall.Secret.objects.create.aio("kept", {"A": VALUE}, allow_existing=True)
    secret = squall.Secret.from_name("kept")
    with pytest.raises(AttributeError):
        _ = secret.object_id
    assert (await secret.hydrate.aio()).object_id.startswith("st-")
    await secret.update.aio({"B": VALUE, "C": None})
    [merge] = [each for each in platform.asked if isinstance(each, PutSecret)][-1:]
    assert (merge.mode, list(merge.variables)) == ("merge", ["B"])
    assert [each.name for each in await squall.Secret.objects.list.aio()] == ["kept"]
    with pytest.raises(exception.InvalidError, match="only a stored secret"):
        await squall.Secret.from_dict({"A": "1"}).update.aio({"A": "2"})
