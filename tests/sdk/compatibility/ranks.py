"""How much scripts need each name of Modal's: by the name of a class or module, or `Class.member`."""

from typing import Final, Literal

Rank = Literal["core", "common", "rare", "cloud"]

RANKS: Final[dict[str, Rank]] = {
    "App": "core", "App.include": "common", "App.server": "rare", "App.sandboxes": "rare",
    "App.get_tags": "rare", "App.set_tags": "rare", "App.info": "rare", "App.logs": "rare",
    "App.stats": "rare", "App.get_dashboard_url": "rare", "App.registered_classes": "rare",
    "App.registered_web_endpoints": "rare",
    "Cls": "core", "Cls.get_dashboard_url": "rare", "Cls.client": "rare",
    "Cls.with_batching": "common", "Cls.with_concurrency": "common", "Cls.with_options": "common",
    "CloudBucketMount": "rare",
    "Cron": "common", "Period": "common",
    "Dict": "common", "Dict.get_dashboard_url": "rare",
    "FilePatternMatcher": "common",
    "Function": "core", "Function.from_id": "rare", "Function.get_dashboard_url": "rare",
    "Function.client": "rare", "Function.logs": "rare", "Function.metrics": "rare",
    "Function.stats": "rare", "Function.info": "rare", "Function.experimental_spawn_map": "rare",
    "FunctionCall": "core", "FunctionCall.get_call_graph": "rare", "FunctionCall.logs": "rare",
    "FunctionCall.client": "rare", "FunctionCall.get_dashboard_url": "rare",
    "Image": "core", "Image.from_id": "rare", "Image.from_name": "rare", "Image.publish": "rare",
    "Image.logs": "rare", "Image.client": "rare", "Image.get_dashboard_url": "rare",
    "Image.from_scratch": "rare", "Image.pip_install_private_repos": "rare",
    "Image.poetry_install_from_file": "rare", "Image.from_aws_ecr": "rare",
    "Image.from_gcp_artifact_registry": "rare", "Image.micromamba": "common",
    "Image.micromamba_install": "common", "Image.run_function": "common",
    "Image.from_dockerfile": "common", "Image.dockerfile_commands": "common",
    "Image.uv_sync": "common", "Image.pip_install_from_requirements": "common",
    "Queue": "common", "Queue.get_dashboard_url": "rare", "Queue.validate_partition_key": "rare",
    "Retries": "core",
    "Sandbox": "common", "SandboxSnapshot": "rare", "Probe": "rare",
    "Secret": "core", "Secret.get_dashboard_url": "rare", "Secret.client": "rare",
    "Volume": "core", "Volume.get_dashboard_url": "rare", "Volume.client": "rare",
    "Volume.batch_upload": "common", "Volume.listdir": "common",
    "asgi_app": "core", "batched": "common", "concurrent": "common", "enter": "core",
    "enable_output": "common", "exit": "core", "fastapi_endpoint": "core", "is_local": "core",
    "method": "core", "parameter": "core", "web_server": "core", "wsgi_app": "common",
    "current_input_id": "common", "current_function_call_id": "common",
    "exception": "core", "runner": "common",
    "Proxy": "cloud", "Workspace": "cloud", "billing": "cloud", "SchedulerPlacement": "cloud",
}  # fmt: skip
"""A member has its class's rank unless it has its own; what isn't here is rare."""


def rank(name: str) -> Rank:
    """Of a dotted name below `modal`."""
    head = name.partition(".")[0]
    return RANKS.get(name, RANKS.get(head, "rare"))
