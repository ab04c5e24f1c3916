"""How many replicas each stream and bucket is to have."""

import pytest
from squall_bus.layout import Replicas
from squall_contracts import state_subjects, subjects


def test_single_streams_may_differ() -> None:
    replicas = Replicas(everywhere=3, of={subjects.LOGS: 1})
    assert replicas.count(subjects.LOGS) == 1
    assert replicas.count(subjects.CALLS) == 3
    assert replicas.count(state_subjects.VOLUMES_BUCKET) == 3


@pytest.mark.parametrize(
    ("everywhere", "of", "names"),
    [(2, {}, "2 replicas"), (3, {"CALL": 1}, "CALL"), (1, {"LOGS": 4}, "LOGS")],
)
def test_what_can_not_be_is_named(everywhere: int, of: dict[str, int], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        Replicas(everywhere=everywhere, of=of)
