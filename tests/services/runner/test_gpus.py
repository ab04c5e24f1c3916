"""GPUs: what NVML's names become, what is offered, what a container gets to see."""

from pathlib import Path

import msgspec
import pytest
from squall_contracts.functions import Resources
from squall_runner import core, docker_config, gpus, machine
from squall_runner.runtime import Launch
from squall_runner.settings import Settings


@pytest.mark.parametrize(
    ("name", "memory_mib", "kind"),
    [
        ("NVIDIA H100 80GB HBM3", 81_559, "H100"),
        ("NVIDIA H200", 143_771, "H200"),
        ("NVIDIA A100-SXM4-40GB", 40_960, "A100"),
        ("NVIDIA A100-SXM4-80GB", 81_920, "A100-80GB"),
        ("Tesla T4", 15_360, "T4"),
        ("NVIDIA L40S", 46_068, "L40S"),
        ("NVIDIA GeForce RTX 4090", 24_564, "RTX-4090"),
        ("NVIDIA RTX 6000 Ada Generation", 49_140, "RTX-6000"),
        ("NVIDIA GeForce GTX TITAN X", 12_288, "GEFORCE-GTX-TITAN-X"),
    ],
)
def test_types_are_read_from_nvml_names(name: str, memory_mib: int, kind: str) -> None:
    assert gpus.kind(name, memory_mib) == kind


def test_declared_gpus_are_offered_and_only_where_containers_keep_them_apart() -> None:
    declared = Settings(gpus=("H100", "H100"))
    assert machine.gpus(declared) == ("H100", "H100")
    assert machine.gpus(Settings(gpus=("H100",), runtime="process")) == ()


def test_a_container_sees_its_devices_and_no_others() -> None:
    assert gpus.visible((1, 3)) == {
        "NVIDIA_VISIBLE_DEVICES": "1,3",
        "CUDA_VISIBLE_DEVICES": "0,1",
    }
    assert gpus.visible(()) == {"NVIDIA_VISIBLE_DEVICES": "void"}


def test_docker_is_asked_for_the_very_devices(tmp_path: Path) -> None:
    launch = Launch(
        slot="ct-1",
        workspace="lab",
        labels={"squall.gpus": "1,3"},
        reference="image",
        directory=tmp_path,
        site=tmp_path,
        env={"NVIDIA_VISIBLE_DEVICES": "all"},
        workdir="",
        limits=core.limits(Resources(), pids=64, cores=2),
        gpus=(1, 3),
    )
    config = docker_config.container(launch, "squall", Settings(), {})
    assert config["HostConfig"]["DeviceRequests"] == [
        {"DeviceIDs": ["1", "3"], "Capabilities": [["gpu"]]}
    ]
    assert {"NVIDIA_VISIBLE_DEVICES=1,3", "CUDA_VISIBLE_DEVICES=0,1"} <= set(config["Env"])
    assert config["Labels"]["squall.gpus"] == "1,3"
    without = msgspec.structs.replace(launch, gpus=())
    bare = docker_config.container(without, "squall", Settings(), {})
    assert "DeviceRequests" not in bare["HostConfig"]
    assert "NVIDIA_VISIBLE_DEVICES=void" in bare["Env"]
