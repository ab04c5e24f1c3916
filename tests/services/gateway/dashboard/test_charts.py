"""Charts: geometry stays in its box, and containers are counted while they were there."""

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st
from squall_contracts.placement import ContainerRecord
from squall_gateway.dashboard import charts, text

NOW = 100_000.0
values = st.lists(st.floats(0, 1e9), max_size=80)


def container(**since: float) -> ContainerRecord:
    return ContainerRecord(
        container_id="ct", function_id="fu", function_name="f", app_id="ap", app_name="a",
        workspace="A1", environment="main", version=1, state="ready", since_unix_s=since,
    )  # fmt: skip


@given(values)
def test_lines_and_steps_stay_inside_their_box(series: list[float]) -> None:
    for made in (charts.line(series, 100, 20), charts.steps(series, 100, 20)):
        for x, y in re.findall(r"(-?[\d.e+-]+),(-?[\d.e+-]+)", made.path):
            assert -0.1 <= float(x) <= 100.1
            assert -0.1 <= float(y) <= 20


@given(st.lists(st.tuples(st.text(min_size=1, max_size=5), st.floats(-5, 1e6)), max_size=15))
def test_parts_of_a_bar_follow_each_other_and_fill_it(parts: list[tuple[str, float]]) -> None:
    made = charts.bar(parts, 100)
    edges = [(each.x, each.x + each.width) for each in made]
    assert all(one[1] <= other[0] + 0.5 for one, other in itertools.pairwise(edges))
    assert all(first >= 0 and last <= 100.5 for first, last in edges)


def test_containers_count_from_their_place_to_their_end() -> None:
    there = [
        container(requested=NOW - 300, placed=NOW - 250, ready=NOW - 240, stopped=NOW - 130),
        container(requested=NOW - 70, placed=NOW - 65),
        container(requested=NOW - 40),
        container(requested=NOW - 9000, placed=NOW - 9000, failed=NOW - 8000),
    ]
    assert charts.alive(there, NOW, 5, 60.0) == [1, 1, 1, 1, 1]
    assert charts.alive(there[:1], NOW, 5, 60.0) == [1, 1, 1, 0, 0]
    assert charts.alive(there[2:], NOW, 5, 60.0) == [0] * 5


moments = st.floats(NOW - 10_000, NOW)


@given(st.lists(st.tuples(moments, moments), max_size=20))
def test_no_count_is_above_the_containers_there_are(spans: list[tuple[float, float]]) -> None:
    made = [container(placed=min(s), stopped=max(s)) for s in spans]
    counts = charts.alive(made, NOW, 60, 60.0)
    assert len(counts) == 60
    assert all(0 <= each <= len(made) for each in counts)


@given(st.floats(0, 1e7))
def test_every_length_of_time_and_size_can_be_said(figure: float) -> None:
    assert text.duration(figure)
    assert text.size(figure).split()[1] in {"B", "KiB", "MiB", "GiB", "TiB"}
    assert text.ago(NOW - figure, NOW).endswith(("ago", "now"))
