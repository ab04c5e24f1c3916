"""Images whose packages come from conda channels, through micromamba."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

from squall_contracts import images

from squall._image import check
from squall._image.chain import Chain
from squall._image.layers import Copied, LocalFile
from squall._image.packages import Variables, build_env
from squall._image.secrets import checked

BASE: Final = "mambaorg/micromamba:2.3.2-debian12-slim"
SPEC: Final = "/tmp/micromamba-spec"


class CondaSteps(Chain):
    """micromamba."""

    @classmethod
    def micromamba(cls, python_version: str | None = None, force_build: bool = False) -> Self:
        """Debian with micromamba, and Python from conda-forge in its base environment. None: this
        interpreter's version. The builder must reach a registry and conda-forge."""
        if python_version is None:
            from sys import version_info

            python_version = f"{version_info.major}.{version_info.minor}"
        version = check.python_version(python_version, "micromamba: python_version")
        base = images.Registry(
            reference=BASE,
            setup_commands=(
                "USER root",
                'SHELL ["/usr/local/bin/_dockerfile_shell.sh"]',
                "ENV MAMBA_DOCKERFILE_ACTIVATE=1 PATH=/opt/conda/bin:$PATH",
                f"RUN micromamba install -n base -y -c conda-forge python={version} pip",
            ),
        )
        return cls._from(base, force_build)

    def micromamba_install(
        self,
        *packages: str | Sequence[str],
        spec_file: str | Path | None = None,
        channels: Sequence[str] = (),
        force_build: bool = False,
        env: Variables | None = None,
        secrets: Sequence[Any] | None = None,
        gpu: Any = None,
    ) -> Self:
        """Install conda packages, and those a local spec file lists, from `channels`. For images that
        begin with `Image.micromamba()`."""
        label = "micromamba_install"
        wanted = check.packages(packages, f"{label}: packages")
        variables = build_env(label, env, gpu)
        words = [check.quoted(word) for word in wanted]
        if not wanted and spec_file is None:
            return self
        image = self
        if spec_file is not None:
            local = check.local_path(spec_file, f"{label}: spec_file")
            remote = f"{SPEC}/{local.name}"
            image = image._then(Copied(LocalFile(local, remote)))
            words += ["-f", check.quoted(remote)]
        chosen = [f"-c {check.quoted(name)}" for name in check.argv(channels, f"{label}: channels")]
        command = " ".join(["micromamba install -n base -y", *chosen, *words])
        step = images.RunCommands(commands=(command,), env=variables)
        return image._step(label, step, force_build, checked(label, secrets))
