"""Makes a sandbox, in a run of its own or in a deployed app, prints its id and waits to be killed."""

import sys

import squall


def told(app: squall.App) -> None:
    sandbox = squall.Sandbox.create(app=app)
    assert sandbox.exec("true").wait() == 0
    print(sandbox.object_id, flush=True)
    sys.stdin.read()


if sys.argv[1] == "run":
    run = squall.App("creator")
    with run.run():
        told(run)
else:
    told(squall.App.lookup("creator", create_if_missing=True))
