"""Settings of services: where they come from, what wins, and what is said of wrong ones."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from squall.image import resolve
from squall.serving import ServiceConfig, SettingsError
from squall.serving.sources import CARRIED, merge

RANKER: dict[str, Any] = {
    "app_settings": {
        "app_prefix": "review-ranker",
        "build_config": {"image": "registry.local/ml/base", "tag": "2024.11"},
        "deployment_config": {"gpu": None, "retries": 2, "volumes": {"/models": "weights"}},
        "batch_config": {"max_batch_size": 16, "wait_ms": 25},
    },
    "model_settings": {
        "local_model_repository_folder": "/models",
        "common": {"device": "cpu"},
        "model_entries": {"fast": {"top_k": 5}, "exact": {"top_k": 50}},
    },
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, what: object) -> Path:
    path.write_text(yaml.safe_dump(what, sort_keys=False))
    return path


def test_the_file_of_the_default_name_is_read(here: Path) -> None:
    write(here / "serving.yaml", RANKER)
    config = ServiceConfig()
    assert config.models == ("fast", "exact")
    assert config.app_name == "review-ranker-dev"
    assert config.get_batched_method_settings() == {"max_batch_size": 16, "wait_ms": 25}
    assert config.get_asgi_app_settings() == {"requires_proxy_auth": False}


@pytest.mark.parametrize("variable", ["SQUALL_SERVING_CONFIG", "MODALKIT_CONFIG"])
def test_a_later_file_is_laid_over_an_earlier_one(
    here: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here / "base.yaml", RANKER)
    overlay = {"app_settings": {"deployment_config": {"retries": 0, "volumes": {"/more": "more"}}}}
    write(here / "local.yaml", overlay)
    monkeypatch.setenv(variable, "base.yaml, local.yaml")
    deployment = ServiceConfig().deployment
    assert deployment.retries == 0
    assert deployment.volumes == {"/models": "weights", "/more": "more"}


@pytest.mark.parametrize("prefix", ["SQUALL_SERVING_", "MODALKIT_"])
def test_the_environment_wins_over_dotenv_which_wins_over_files(
    here: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here / "serving.yaml", RANKER)
    path = f"{prefix}APP_SETTINGS__DEPLOYMENT_CONFIG__"
    (here / ".env").write_text(f"{path}GPU=T4\n{path}RETRIES=5\nUNRELATED=1\n")
    monkeypatch.setenv(f"{path}GPU", "A100")
    deployment = ServiceConfig().deployment
    assert (deployment.gpu, deployment.retries) == ("A100", 5)


def test_containers_take_what_their_deployer_found_and_nothing_else(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here / "serving.yaml", RANKER)
    monkeypatch.setenv("MODALKIT_APP_SETTINGS__DEPLOYMENT_CONFIG__GPU", "A100")
    sent = ServiceConfig()._carried()
    monkeypatch.setenv("MODALKIT_APP_SETTINGS__DEPLOYMENT_CONFIG__GPU", "T4")
    (here / "serving.yaml").write_text("not what was deployed")
    monkeypatch.setenv(CARRIED, sent[CARRIED])
    config = ServiceConfig()
    assert config.deployment.gpu == "A100"
    assert config.settings.model_dump() == ServiceConfig(config.settings).settings.model_dump()


def test_settings_too_long_for_a_variable_are_refused(here: Path) -> None:
    write(here / "serving.yaml", merge(RANKER, {"model_settings": {"common": {"a": "x" * 10**5}}}))
    with pytest.raises(SettingsError, match="bytes long, over the 100000 that"):
        ServiceConfig()._carried()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"app_settings": {"batch_config": {"max_batchsize": 4}}},
         "app_settings.batch_config.max_batchsize is not a setting: is max_batch_size meant?"),
        ({"app_settings": {"queue": {}}}, "app_settings.queue is not a setting: is queue_config meant?"),
        ({"nonsense": 1}, "nonsense is not a setting"),
        ({"app_settings": {"deployment_config": {"retries": "many"}}},
         "app_settings.deployment_config.retries: input should be a valid integer"),
        ({"app_settings": {"deployment_config": {"volume_reload_interval_seconds": 0}}},
         "volume_reload_interval_seconds: must be above 0"),
        ({"app_settings": {"build_config": {"image": None}}}, "tag: there is no image"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named_with_what_was_meant(
    here: Path, change: dict[str, Any], message: str
) -> None:
    write(here / "serving.yaml", merge(RANKER, change))
    with pytest.raises(SettingsError) as raised:
        ServiceConfig()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_without_any_settings_it_is_said_where_they_belong() -> None:
    with pytest.raises(SettingsError, match=r"write serving\.yaml here .* SQUALL_SERVING_CONFIG"):
        ServiceConfig()


def test_missing_settings_are_named_all_at_once(here: Path) -> None:
    write(here / "serving.yaml", {"app_settings": {"app_prefix": "a"}, "model_settings": {}})
    with pytest.raises(SettingsError) as raised:
        ServiceConfig()
    assert "model_settings.local_model_repository_folder is missing" in str(raised.value)
    assert "model_settings.model_entries is missing" in str(raised.value)


def test_files_that_are_not_there_or_not_yaml_are_named(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODALKIT_CONFIG", "gone.yaml")
    with pytest.raises(SettingsError, match=r"MODALKIT_CONFIG: there is no file gone\.yaml"):
        ServiceConfig()
    (here / "gone.yaml").write_text("a: [")
    with pytest.raises(SettingsError, match=r"gone\.yaml is not readable as YAML"):
        ServiceConfig()
    (here / "gone.yaml").write_text("- a list")
    with pytest.raises(SettingsError, match="must hold settings by name, not a list"):
        ServiceConfig()


def test_a_variable_that_sets_nothing_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here / "serving.yaml", RANKER)
    monkeypatch.setenv("MODALKIT_APP_SETTING__DEPLOYMENT_CONFIG__GPU", "T4")
    with pytest.raises(SettingsError, match="MODALKIT_APP_SETTING__DEPLOYMENT_CONFIG__GPU sets"):
        ServiceConfig()


def test_minus_one_and_none_both_mean_never_reloaded(here: Path) -> None:
    for value in (-1, None):
        never = {"deployment_config": {"volume_reload_interval_seconds": value}}
        write(here / "serving.yaml", merge(RANKER, {"app_settings": never}))
        assert ServiceConfig().deployment.volume_reload_interval_seconds is None


@pytest.mark.parametrize("said", ["pip list", ["pip list", "true"]])
def test_image_tag_and_commands_are_all_in_the_image(here: Path, said: str | list[str]) -> None:
    build = {"build_config": {"extra_run_commands": said, "image": "base"}}
    write(here / "serving.yaml", merge(RANKER, {"app_settings": build}))
    recipe = msgspec.json.encode(resolve(ServiceConfig().get_image()).recipe).decode()
    assert "base:2024.11" in recipe
    assert "pip list" in recipe
    assert "pydantic-settings==" in recipe


mappings = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)
trees = st.dictionaries(st.sampled_from("abc"), mappings, max_size=3)


@given(trees, trees, trees)
def test_laying_over_is_associative_and_the_last_word_wins(
    one: dict[str, Any], two: dict[str, Any], three: dict[str, Any]
) -> None:
    assert merge(one, {}) == merge({}, one) == one
    assert merge(two, merge(one, one)) == merge(two, one)
    for key, value in three.items():
        if not isinstance(value, dict):
            assert merge(merge(one, two), three)[key] == value
