"""What the gateway decides about sandboxes, as properties."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_contracts.functions import FunctionSpec
from squall_contracts.placement import ENDED, ContainerRecord, ContainerState, Ending
from squall_contracts.sandbox_spec import Probe, SandboxSpec
from squall_contracts.sandboxes import (
    CreateSandbox,
    Ended,
    Outcome,
    SandboxName,
    SandboxRecord,
    container_of,
)
from squall_gateway.sandboxes import core
from squall_gateway.validation import InvalidFieldError

SANDBOX_ID = "sb-0123456789012345678901"
tags = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3)
times = st.floats(0, 1e9)
ends = st.builds(
    Ended,
    outcome=st.sampled_from(get_args(Outcome)),
    returncode=st.integers(0, 255),
    at_unix_s=times,
)


def spec(**fields: object) -> FunctionSpec:
    made: dict[str, object] = {"sandbox": SandboxSpec(), **fields}
    return FunctionSpec(name="s", module="", qualname="", image_id="im-1", **made)  # type: ignore[arg-type]


records = st.builds(
    SandboxRecord,
    sandbox_id=st.just(SANDBOX_ID),
    workspace=st.just("A"),
    environment=st.sampled_from(["main", "dev"]),
    app_id=st.sampled_from(["ap-1", "ap-2"]),
    app_name=st.just("app"),
    spec=st.just(spec()),
    tags=tags,
    created_unix_s=times,
    end_reason=st.sampled_from(["", "terminated by a client"]),
    ended=st.none() | ends,
)
containers = st.builds(
    ContainerRecord,
    container_id=st.just(container_of(SANDBOX_ID)),
    function_id=st.just(SANDBOX_ID),
    function_name=st.just("s"),
    app_id=st.just("ap-1"),
    app_name=st.just("app"),
    workspace=st.just("A"),
    environment=st.just("main"),
    version=st.just(1),
    state=st.sampled_from(get_args(ContainerState)),
    exit_code=st.none() | st.integers(0, 255),
    ending=st.sampled_from(get_args(Ending)),
)


@given(records, st.none() | containers)
def test_told_to_have_ended_is_told_how(
    record: SandboxRecord, container: ContainerRecord | None
) -> None:
    told = core.info(record, container)
    assert (told.ended is not None) == (told.state in ENDED)


@given(records, st.none() | containers)
def test_what_is_settled_stays(record: SandboxRecord, container: ContainerRecord | None) -> None:
    if record.ended is not None:
        assert core.info(record, container).ended == record.ended


@given(containers)
def test_exit_codes_say_how_it_ended(container: ContainerRecord) -> None:
    ended = core.end_of(container)
    if ended is None:
        assert container.state not in ENDED
    elif ended.outcome == "exited":
        assert ended.returncode == (container.exit_code or 0)
    else:
        assert ended.returncode == (124 if ended.outcome == "timeout" else 137)


@given(times, times, st.none() | records)
def test_name_is_free_once_its_holder_has_ended(
    claimed_s: float, now_s: float, holder: SandboxRecord | None
) -> None:
    claim = SandboxName(sandbox_id=SANDBOX_ID, claimed_unix_s=claimed_s)
    free = core.is_free(claim, holder, now_s)
    if holder is not None:
        assert free == (holder.ended is not None)
    else:
        assert free == (now_s - claimed_s > core.CLAIM_S)


@given(records, tags, st.booleans())
def test_more_tags_asked_for_list_fewer(
    record: SandboxRecord, asked: dict[str, str], include_ended: bool
) -> None:
    def listed(wanted: dict[str, str]) -> bool:
        return core.is_listed(
            record, app_id="", environment="", tags=wanted, include_ended=include_ended
        )

    assert listed({}) or not listed(asked)
    assert listed({}) == (include_ended or (record.ended is None and not record.end_reason))


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (CreateSandbox(app_id="ap-1", spec=spec(sandbox=None)), "no sandbox"),
        (CreateSandbox(app_id="ap-1", spec=spec(), name="a/b"), "name: "),
        (CreateSandbox(app_id="ap-1", spec=spec(), tags={"a b": "c"}), "tags: "),
        (
            CreateSandbox(
                app_id="ap-1", spec=spec(block_network=True, sandbox=SandboxSpec(ports=(80,)))
            ),
            "block_network",
        ),
        (CreateSandbox(app_id="ap-1", spec=spec(sandbox=SandboxSpec(ports=(1, 1)))), "twice"),
        (CreateSandbox(app_id="ap-1", spec=spec(sandbox=SandboxSpec(workdir="a"))), "workdir"),
        (CreateSandbox(app_id="ap-1", spec=spec(sandbox=SandboxSpec(argv=("\0",)))), "zero"),
        (CreateSandbox(app_id="ap-1", spec=spec(sandbox=SandboxSpec(probe=Probe()))), "probe"),
        (
            CreateSandbox(app_id="ap-1", spec=spec(sandbox=SandboxSpec(inbound_cidrs=("x",)))),
            "inbound_cidrs",
        ),
    ],
)
def test_what_can_not_be_made_is_refused(request_: CreateSandbox, says: str) -> None:
    with pytest.raises(InvalidFieldError, match=says):
        core.check(request_)
