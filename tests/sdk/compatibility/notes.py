"""What the signatures alone don't say of a name: words for the table, and what is refused on purpose."""

from typing import Final

REFUSED: Final[dict[str, str]] = {
    "Client.from_credentials": "tokens of Modal's cloud open nothing here",
    "Image.from_id": "an image is named by its recipe",
    "Image.from_name": "an image is named by its recipe",
    "Image.publish": "an image is named by its recipe",
    "Image.from_scratch": "functions need Python in their image",
    "NetworkFileSystem": "use a Volume",
    "experimental.flash_forward": "use web_server",
    "experimental.set_local_input_concurrency": "concurrency is declared",
    "sessioned": "requests of one client may go to any container",
}
"""Asking for it raises what to use in its place."""

NOTES: Final[dict[str, str]] = {
    "App.function": "`cloud`, `region`, `routing_region`, `i6pn`, `proxy`, "
    "`experimental_options`: accepted with a notice; `ephemeral_disk` is a limit, which "
    "needs Docker; `network_file_systems`: refused",
    "App.cls": "as `App.function`",
    "App.server": "`routing_region`, `compute_region`, `h2_enabled`, `scaleup_window`, "
    "`exit_grace_period`: accepted with a notice",
    "App.set_tags": "known to this process alone",
    "App.get_tags": "known to this process alone",
    "Cls.with_options": "`region`, `cloud`: accepted with a notice; `secrets`, `volumes` stay as "
    "declared",
    "Function.with_options": "as `Cls.with_options`",
    "Function.from_name": "`version` is refused: calls go to what was deployed last",
    "Cls.from_name": "as `Function.from_name`",
    "Cluster": "containers know each other's addresses; with the docker runtime those on one machine "
    "reach one another",
    "clustered": "as `Cluster`",
    "FunctionCall.get_call_graph": "`children`: calls of the last hour, of `spawn` of a week",
    "Image.from_registry": "`secret` is refused: log the builder's engine in",
    "Image.run_function": "`volumes`: refused; `gpu`, `cpu`, `memory`: no effect",
    "Image.pip_install": "`gpu` has no effect",
    "Image.pip_install_private_repos": "of github.com and gitlab.com",
    "Image.dockerfile_commands": "`secrets` is refused: give them to `run_commands`",
    "Volume.from_name": "`version`: there is one kind",
    "Secret.update": "values are never read back",
    "Client": "stands for this process's one connection",
    "Proxy": "accepted with a notice",
    "SchedulerPlacement": "accepted with a notice",
}
