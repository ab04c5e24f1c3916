"""Running and deploying apps from code that has an App in hand, such as the command line."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from squall_contracts.apps import AppStarted

from squall import _sync, _validate
from squall._apps import replacing, running, spec
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall.app import App


@dataclass(frozen=True, kw_only=True)
class DeployResult:
    """What a deploy left."""

    app_id: str
    app_name: str
    version: int
    function_ids: dict[str, str]
    changed: bool
    """False when the server had exactly this already."""
    web_urls: dict[str, str]
    """Addresses of its web endpoints, by function or `Class.method`."""


class _DeployApp:
    """Create or update the deployed app of that name."""

    def __call__(
        self,
        app: "App",
        name: str | None = None,
        environment_name: str | None = None,
        tag: str = "",
        strategy: str = "rolling",
        *,
        client: object = None,
        deployment_strategy: str | None = None,
    ) -> DeployResult:
        """`name` None: the app's own; InvalidError if it has none. `strategy`: `"rolling"` lets old
        containers finish what they have while new ones start; `"recreate"` starts new ones once
        the old ones have ended, and waits for that, at most 40 seconds. ImageBuildError,
        ConnectionError, AuthError; InvalidError for a declaration at fault."""
        _sync.warn_if_blocking("deploy")
        chosen = _checked(app, name, environment_name, tag)
        how = replacing.strategy(deployment_strategy or strategy)
        made = spec.plan(app)
        work = running.deploy(
            app, made, chosen, environment=environment_name, tag=tag, strategy=how
        )
        return _result(chosen, _sync.run(work))

    async def aio(
        self,
        app: "App",
        name: str | None = None,
        environment_name: str | None = None,
        tag: str = "",
        strategy: str = "rolling",
        *,
        client: object = None,
        deployment_strategy: str | None = None,
    ) -> DeployResult:
        chosen = _checked(app, name, environment_name, tag)
        how = replacing.strategy(deployment_strategy or strategy)
        made = spec.plan(app)
        work = running.deploy(
            app, made, chosen, environment=environment_name, tag=tag, strategy=how
        )
        return _result(chosen, await _sync.hop(work))


def _checked(app: "App", name: str | None, environment_name: str | None, tag: str) -> str:
    chosen = name or app.name
    if chosen is None:
        raise InvalidError("name: an app needs a name to be deployed, as in App('my-app')")
    if environment_name is not None:
        _validate.environment_name(environment_name)
    _validate.tag(tag)
    return _validate.object_name("name", chosen)


def _result(name: str, started: AppStarted) -> DeployResult:
    return DeployResult(
        app_id=started.app_id,
        app_name=name,
        version=started.version,
        function_ids=dict(started.function_ids),
        changed=started.changed,
        web_urls=dict(started.web_urls),
    )


deploy_app = _DeployApp()
