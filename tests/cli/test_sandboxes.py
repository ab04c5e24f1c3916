"""`squall sandbox`."""

import json

import squall

from .in_process import Run, complains, run

__all__ = ["run"]


def test_sandboxes_are_listed_and_ended(run: Run) -> None:
    app = squall.App.lookup("tools", create_if_missing=True)
    sandbox = squall.Sandbox.create(app=app, name="bench")
    listed = run("sandbox", "list")
    assert listed.status == 0, listed.err
    assert all(word in listed.out for word in (sandbox.object_id, "tools", "bench"))
    [found] = json.loads(run("sandbox", "list", "--app", "tools", "--json").out)
    assert (found["sandbox_id"], found["app_name"]) == (sandbox.object_id, "tools")
    assert run("sandbox", "terminate", sandbox.object_id).status == 0
    sandbox.wait(raise_on_termination=False)
    assert json.loads(run("sandbox", "list", "--json").out) == []
    [ended] = json.loads(run("sandbox", "list", "--all", "--json").out)
    assert ended["ended"]["returncode"] == 137
    assert "terminated (137)" in run("sandbox", "list", "--all").out
    again = run("sandbox", "terminate", sandbox.object_id)
    assert "had ended" in again.out + again.err
    complains(run("sandbox", "terminate", "sb-nosuch"), 1, "sb-nosuch")
    app.stop()
