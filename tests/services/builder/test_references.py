"""Which images a recipe may start from, as its Dockerfile names them."""

import pytest
from squall_builder.references import references, refusal

THEIRS = "squall-0123456789ab:im-abc"


@pytest.mark.parametrize(
    "text",
    [
        f"FROM {THEIRS}",
        f"from --platform=linux/amd64 {THEIRS} as base",
        f"FROM docker.io/library/{THEIRS}",
        f"FROM python:3.11\nCOPY --from={THEIRS} /x /x",
        f"FROM python:3.11\nONBUILD COPY --from={THEIRS} /x /x",
        f"ARG BASE={THEIRS}\nFROM $BASE",
        "ARG A=squall-0123456789ab\nARG B=${A}:im-abc\nFROM ${B}",
        f"FROM ${{NOTHING:-{THEIRS}}}",
        "ARG BASE\nFROM $BASE",
        "FROM 3f",
        "FROM sha256:3fabc",
        "FROM python:3.11\nCOPY --from=3 /x /x",
        "FROM python:3.11 AS first\nFROM first\nCOPY --from=$WHICH /x /x",
        f"FROM \\\n  {THEIRS}",
        f"FROM\t{THEIRS}",
        f"\ufeffFROM {THEIRS}",
        'FROM squ""all-0123456789ab:im-abc',
        "FROM squ\\all-0123456789ab:im-abc",
        f"FROM python:3.11\nCOPY --fr\\om={THEIRS} /x /x",
        f"FROM python:3.11\nCOPY\t--from={THEIRS} /x /x",
    ],
)
def test_what_could_be_anothers_is_refused(text: str) -> None:
    assert refusal(text, {}) is not None


@pytest.mark.parametrize(
    "text",
    [
        "FROM python:3.11",
        "FROM registry.example.org/squall-0123456789ab:im-abc",
        "FROM squall-base:bookworm-py3.11",
        "FROM docker.io/library/cafe",
        "FROM python:3.11 AS ab\nFROM ab\nCOPY --from=ab /x /x\nCOPY --from=0 /y /y",
        "ARG V=3.11\nFROM python:${V}-slim",
        "FROM scratch",
    ],
)
def test_all_else_may_be_built_on(text: str) -> None:
    assert refusal(text, {}) is None


def test_value_given_for_the_build_wins_over_the_default() -> None:
    text = "ARG BASE=python:3.11\nFROM $BASE"
    assert refusal(text, {}) is None
    assert refusal(text, {"BASE": THEIRS}) is not None
    assert list(references(text, {"BASE": THEIRS})) == [THEIRS]


def test_operators_own_base_may_be_called_anything() -> None:
    assert refusal(f"FROM {THEIRS}", {}, trusted=[THEIRS]) is None
