"""Properties of the gateway's decisions."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_contracts.functions import AppRecord, FunctionRecord, FunctionSpec, Scaling
from squall_contracts.images import (
    DebianSlim,
    ImageRecord,
    ImageState,
    Recipe,
    RunCommands,
    Snapshot,
    Step,
)
from squall_gateway import core

NAMES = st.sampled_from(["a", "b", "c", "Model.run"])
OWNER = core.Owner(workspace="ACC", environment="main", name="demo")


def spec(name: str, containers: int = 0) -> FunctionSpec:
    return FunctionSpec(
        name=name,
        module="m",
        qualname=name,
        image_id="im-1",
        scaling=Scaling(min_containers=containers),
    )


DEPLOYS = st.lists(
    st.dictionaries(NAMES, st.integers(0, 2)).map(
        lambda named: tuple(spec(name, containers) for name, containers in named.items())
    ),
    min_size=1,
    max_size=6,
)


class World:
    """A registry that plans are applied to, as the adapter does."""

    def __init__(self) -> None:
        self.app: AppRecord | None = None
        self.functions: dict[str, FunctionRecord] = {}
        self.ids = itertools.count()
        self.now_s = 0.0

    def live(self) -> dict[str, FunctionRecord]:
        return {record.spec.name: record for record in self.functions.values()}

    def plan(
        self, specs: tuple[FunctionSpec, ...], tag: str = "", *, recreate: bool = False
    ) -> core.Plan:
        self.now_s += 1
        return core.plan_deploy(
            OWNER,
            specs,
            existing=self.app,
            live=self.live(),
            release=core.Release(tag=tag, recreate=recreate),
            now_unix_s=self.now_s,
            make_id=lambda _: f"fn-{next(self.ids)}",
        )

    def apply(self, plan: core.Plan) -> None:
        self.app = plan.app
        for record in plan.write:
            self.functions[record.function_id] = record
        for record in plan.remove:
            del self.functions[record.function_id]


@given(DEPLOYS)
def test_registry_holds_exactly_what_was_deployed_last(
    deploys: list[tuple[FunctionSpec, ...]],
) -> None:
    world = World()
    for specs in deploys:
        world.apply(world.plan(specs))
        assert {r.spec.name: r.spec for r in world.functions.values()} == {s.name: s for s in specs}
        assert world.app is not None
        assert world.app.function_ids == {
            r.spec.name: r.function_id for r in world.functions.values()
        }


@given(DEPLOYS)
def test_deploying_again_changes_nothing(deploys: list[tuple[FunctionSpec, ...]]) -> None:
    world = World()
    for specs in deploys:
        world.apply(world.plan(specs))
        again = world.plan(specs)
        assert not again.changed
        assert (again.app, again.write, again.remove) == (world.app, (), ())


@given(DEPLOYS)
def test_function_that_stays_keeps_its_id_and_versions_only_grow(
    deploys: list[tuple[FunctionSpec, ...]],
) -> None:
    world = World()
    for specs in deploys:
        before, was = world.live(), world.app
        plan = world.plan(specs)
        for record in plan.write:
            if record.spec.name in before:
                assert record.function_id == before[record.spec.name].function_id
        if was is not None:
            assert plan.app.version == was.version + plan.changed
        world.apply(plan)


@given(DEPLOYS)
def test_redeploy_after_a_stop_counts_on_with_new_ids(
    deploys: list[tuple[FunctionSpec, ...]],
) -> None:
    world = World()
    for specs in deploys:
        world.apply(world.plan(specs))
    assert world.app is not None
    old_ids, version = set(world.functions), world.app.version
    world.app, world.functions = core.stopped(world.app, world.now_s), {}
    plan = world.plan(deploys[-1])
    assert plan.changed
    assert plan.app.version == version + 1
    assert not old_ids & {record.function_id for record in plan.write}


@given(DEPLOYS)
def test_only_what_changed_gets_a_new_version_unless_all_is_to_be_recreated(
    deploys: list[tuple[FunctionSpec, ...]],
) -> None:
    world = World()
    for specs in deploys:
        before = world.live()
        plan = world.plan(specs)
        same = {s.name for s in specs if s.name in before and before[s.name].spec == s}
        assert {record.spec.name for record in plan.write}.isdisjoint(same)
        assert all(record.version == plan.app.version for record in plan.write)
        anew = world.plan(specs, recreate=True)
        if anew.changed:
            assert {record.spec.name for record in anew.write} == {s.name for s in specs}
            assert all(record.recreate for record in anew.write)
        world.apply(plan)


def test_rollback_reaches_the_version_before_or_the_one_named() -> None:
    world = World()
    for memory_mib in (100, 200, 300):
        world.apply(world.plan((spec("a", memory_mib),)))
    assert core.restored(world.app, None) == 2
    assert core.restored(world.app, 1) == 1
    for version, says in ((3, "the present one"), (4, "no version 4"), (0, "no version 0")):
        with pytest.raises(ValueError, match=says):
            core.restored(world.app, version)
    with pytest.raises(ValueError, match="not deployed"):
        core.restored(None, None)


def test_first_version_has_none_before_it() -> None:
    world = World()
    world.apply(world.plan((spec("a"),)))
    with pytest.raises(ValueError, match="no version before the first"):
        core.restored(world.app, None)


def test_other_tag_is_a_change_and_no_tag_is_none() -> None:
    world = World()
    world.apply(world.plan((spec("a"),), tag="one"))
    assert not world.plan((spec("a"),)).changed
    assert not world.plan((spec("a"),), tag="one").changed
    assert world.plan((spec("a"),), tag="two").changed


def test_half_written_deploy_is_mended_by_the_next() -> None:
    world = World()
    plan = world.plan((spec("a"), spec("b")))
    world.app = plan.app
    world.functions = {plan.write[0].function_id: plan.write[0]}
    again = world.plan((spec("a"), spec("b")))
    assert again.changed
    world.apply(again)
    assert not world.plan((spec("a"), spec("b"))).changed


@given(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))
def test_apps_of_different_names_have_different_ids(a: str, b: str, c: str, d: str) -> None:
    def app_id(environment: str, name: str) -> str:
        owner = core.Owner(workspace="ACC", environment=environment, name=name)
        return core.deployed_app_id(owner)

    if "\0" not in a + b + c + d:
        assert (app_id(a, b) == app_id(c, d)) == ((a, b) == (c, d))


APPS = st.lists(
    st.builds(
        AppRecord,
        app_id=st.sampled_from(["ap-1", "ap-2", "ap-3"]),
        workspace=st.just("ACC"),
        environment=st.just("main"),
        name=st.just("demo"),
        state=st.sampled_from(["ephemeral", "detached", "deployed", "stopped"]),
        created_unix_s=st.just(0.0),
    ),
    unique_by=lambda app: app.app_id,
)


@given(APPS, st.dictionaries(st.sampled_from(["ap-1", "ap-2"]), st.floats(0, 100)))
def test_only_silent_ephemeral_apps_are_due_and_the_next_look_is_the_earliest_needed(
    apps: list[AppRecord], kept_s: dict[str, float]
) -> None:
    due, next_s = core.silent(kept_s, apps, 100.0, 45.0)
    assert all(app.state == "ephemeral" for app in due)
    assert all(100.0 - kept_s[app.app_id] >= 45.0 for app in due)
    waiting = [app for app in apps if app.state == "ephemeral" and app not in due]
    assert (next_s is None) == (not waiting)
    if next_s is not None:
        assert next_s > 100.0
        assert not core.silent(kept_s, waiting, next_s - 0.001, 45.0)[0] or next_s - 0.001 <= 100.0


def test_stopping_a_stopped_app_keeps_when_it_stopped() -> None:
    app = World().plan((spec("a"),)).app
    once = core.stopped(app, 5.0)
    assert core.stopped(once, 9.0) == once
    assert msgspec.structs.replace(once, state="deployed", stopped_unix_s=None) == app


def test_image_built_for_a_runtime_nobody_has_is_not_usable() -> None:
    def record(state: ImageState, runtime: str) -> ImageRecord:
        recipe = Recipe(base=DebianSlim(python_version="3.11"))
        return ImageRecord(
            image_id="im-1",
            workspace="A",
            recipe=recipe,
            state=state,
            runtime=runtime,
            created_unix_s=0.0,
        )

    assert core.usable(record("ready", "docker"), {"docker", "process"})
    assert core.usable(record("building", "docker"), {"docker"})
    assert core.usable(record("ready", "docker"), frozenset())
    assert not core.usable(record("ready", "docker"), {"process"})
    assert not core.usable(record("failed", "docker"), {"docker"})


def _kept(image_id: str, expires_unix_s: float | None, *steps: Step) -> ImageRecord:
    base = Snapshot(
        snapshot_id="sn-1",
        container_id="ct-1",
        python_version="3.11",
        expires_unix_s=expires_unix_s,
    )
    return ImageRecord(
        image_id=image_id,
        workspace="A",
        recipe=Recipe(base=base, steps=steps),
        state="ready",
        runtime="docker",
        created_unix_s=0.0,
    )


def test_snapshots_are_kept_until_their_time_is_over_and_nobody_uses_them() -> None:
    held = [
        _kept("im-over", 10.0),
        _kept("im-used", 10.0),
        _kept("im-young", 30.0),
        _kept("im-for-good", None),
        _kept("im-grown", None, RunCommands(commands=("true",))),
    ]
    used = [FunctionSpec(name="f", module="m", qualname="f", image_id="im-used")]
    assert core.unused_images(held, used, 20.0) == ("im-grown", "im-over")
    expired = core.expired_snapshots(held, used, 20.0)
    assert [record.image_id for record in expired] == ["im-over"]
