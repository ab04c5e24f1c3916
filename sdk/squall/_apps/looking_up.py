"""`App.lookup`: a deployed app by its name, or any that runs by its id."""

import re
from typing import TYPE_CHECKING

from squall_contracts.apps import FindApp

from squall import _client, _validate
from squall._apps import replacing

if TYPE_CHECKING:
    from squall.app import App

_APP_ID = re.compile(r"ap-[A-Za-z0-9]{22}")


async def lookup(
    name: str,
    *,
    client: object = None,
    environment_name: str | None = None,
    create_if_missing: bool = False,
) -> "App":
    """The deployed app of that name, or the running one of that id, as an App without functions.
    `create_if_missing`: deploy an empty one of that name. NotFoundError."""
    from squall.app import App

    connected = await _client.connected()
    if _APP_ID.fullmatch(_validate.text("name", name)):
        found = await connected.control(FindApp(app_id=name))
    else:
        _validate.object_name("name", name)
        place = connected.environment
        if environment_name is not None:
            place = _validate.environment_name(environment_name)
        found = await connected.control(
            FindApp(
                environment=place,
                name=name,
                create=_validate.truth("create_if_missing", create_if_missing),
                deployed_by=replacing.author(),
            )
        )
    app = App(found.name)
    app._app_id, app._environment = found.app_id, found.environment
    return app
