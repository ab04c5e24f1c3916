"""What an image of a container is configured with."""

from squall_runner.docker_files import _own


def test_image_of_a_container_has_what_its_image_had_and_no_values_of_the_container() -> None:
    container = {
        "Env": ["PATH=/bin:/own", "TOKEN=secret", "FLAG"],
        "Labels": {"squall.slot": "ct-1", "vendor": "changed"},
        "Cmd": [],
        "Entrypoint": ["boot"],
        "User": "0:0",
    }
    image = {"Env": ["PATH=/bin"], "Labels": {"vendor": "one"}, "Cmd": ["run"], "WorkingDir": "/w"}
    own = _own(container, image)
    assert own["Env"] == ["PATH=/bin", "TOKEN=", "FLAG="]
    assert own["Labels"] == {"squall.slot": "", "vendor": "one"}
    assert (own["Cmd"], own["Entrypoint"], own["WorkingDir"]) == (["run"], [], "/w")
