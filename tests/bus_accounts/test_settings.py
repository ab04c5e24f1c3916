"""Settings from the environment."""

from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta
from squall_bus.settings import SettingsError, read_settings


class Knobs(msgspec.Struct, frozen=True, kw_only=True):
    drain_s: Annotated[float, Meta(gt=0)] = 20.0
    urls: tuple[str, ...] = ()
    most: int | None = None
    loud: bool = False
    labels: dict[str, str] = {}
    path: str = "x"


class Needy(msgspec.Struct, frozen=True, kw_only=True):
    keys_dir: str


def read(**variables: str) -> Knobs:
    return read_settings(Knobs, {f"SQUALL_X_{k}": v for k, v in variables.items()}, "SQUALL_X_")


def test_nothing_set_gives_the_defaults() -> None:
    assert read() == Knobs()


def test_every_kind_of_value_is_read() -> None:
    found = read(
        DRAIN_S="1.5", URLS="a, b,,c", MOST="7", LOUD="true", LABELS='{"zone":"a"}', PATH=" y "
    )
    assert found == Knobs(
        drain_s=1.5, urls=("a", "b", "c"), most=7, loud=True, labels={"zone": "a"}, path=" y "
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DRAIN_S", "soon"),
        ("DRAIN_S", "0"),
        ("MOST", "1.5"),
        ("LOUD", "maybe"),
        ("LABELS", "zone=a"),
        ("LABELS", "[1]"),
        ("DRIAN_S", "1"),
    ],
)
def test_bad_variable_is_named_in_one_line(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"SQUALL_X_{name}") as caught:
        read(**{name: value})
    assert "\n" not in str(caught.value)


def test_missing_variable_is_named() -> None:
    with pytest.raises(SettingsError, match="SQUALL_X_KEYS_DIR is required"):
        read_settings(Needy, {}, "SQUALL_X_")


def test_variables_of_others_are_left_alone() -> None:
    assert read_settings(Knobs, {"SQUALL_Y_A": "1", "HOME": "/"}, "SQUALL_X_") == Knobs()


@given(st.floats(min_value=0.001, max_value=1e9))
def test_numbers_come_back_as_written(value: float) -> None:
    assert read(DRAIN_S=repr(value)).drain_s == value
