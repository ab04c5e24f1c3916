"""Checks of what users write in decorators: each failure is one InvalidError naming the field."""

import math
import re
from collections.abc import Mapping, Sequence

from squall_contracts.functions import DAY_S, Resources, Scaling

from squall.exception import InvalidError

_NAME = re.compile(r"[A-Za-z0-9\-_.]{1,64}")
_APP_ID = re.compile(r"ap-[A-Za-z0-9]{22}")
_ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_GPU = re.compile(r"([A-Za-z][A-Za-z0-9\-]*!?)(?::(.*))?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
_MAX_GPUS = 64
_FORBIDDEN_MOUNTS = frozenset({"/", "/root", "/tmp"})


def whole(field: str, value: object, *, least: int, most: int | None = None) -> int:
    """`value` if it is an int in bounds (bool isn't)."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidError(f"{field} must be an int, not {_shown(value)}")
    _bounds(field, value, least, most)
    return value


def number(field: str, value: object, *, least: float, most: float | None = None) -> float:
    """`value` as a float if it is a finite number in bounds (bool isn't)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidError(f"{field} must be a number, not {_shown(value)}")
    _bounds(field, value, least, most)
    return float(value)


def text(field: str, value: object) -> str:
    """`value` if it is a str that isn't empty."""
    if not isinstance(value, str) or not value:
        raise InvalidError(f"{field} must be a non-empty str, not {_shown(value)}")
    return value


def truth(field: str, value: object) -> bool:
    """`value` if it is a bool."""
    if not isinstance(value, bool):
        raise InvalidError(f"{field} must be True or False, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    return f"{type(value).__name__} {value!r}"[:120]


def _bounds(field: str, value: float, least: float, most: float | None) -> None:
    if value < least or (most is not None and value > most):
        span = f"at least {least}" if most is None else f"between {least} and {most}"
        raise InvalidError(f"{field} must be {span}, not {value}")


def object_name(field: str, value: object) -> str:
    """A name of an app or function: 1 to 64 letters, digits, `-`, `_`, `.`, not like an app id."""
    name = text(field, value)
    if not _NAME.fullmatch(name):
        raise InvalidError(
            f"{field} {name!r} is not allowed: use 1 to 64 letters, digits, '-', '_' or '.'"
        )
    if _APP_ID.fullmatch(name):
        raise InvalidError(f"{field} {name!r} looks like an app id: choose another name")
    return name


def environment_name(value: object) -> str:
    """A name of an environment: starts alphanumeric, no period."""
    name = text("environment_name", value)
    if not _ENVIRONMENT.fullmatch(name) or name.startswith("en-"):
        raise InvalidError(
            f"environment_name {name!r} is not allowed: start with a letter or digit, "
            "then letters, digits, '-' or '_', at most 64 in all"
        )
    return name


def tag(value: object) -> str:
    """A deployment tag: empty, or up to 50 characters of a name."""
    if value == "":
        return ""
    name = object_name("tag", value)
    if len(name) > 50:
        raise InvalidError(f"tag must have at most 50 characters, not {len(name)}")
    return name


def cidrs(field: str, value: object) -> tuple[str, ...] | None:
    """IPv4 networks such as `10.1.0.0/16`, or addresses; None: no list was given."""
    import ipaddress

    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidError(f"{field} must be a list of networks, not {_shown(value)}")
    for each in value:
        try:
            ipaddress.IPv4Network(text(field, each))
        except ValueError as error:
            raise InvalidError(f"{field}: {each!r} is no IPv4 network: {error}") from error
    return tuple(value)


def gpus(value: object) -> tuple[str, ...]:
    """`TYPE:COUNT` requests in order of preference, from a string or a list of them."""
    if value is None:
        return ()
    wanted = [value] if isinstance(value, str) else value
    if not isinstance(wanted, list | tuple) or not wanted:
        raise InvalidError(f'gpu must be a str such as "A100:2" or a list, not {_shown(value)}')
    return tuple(_gpu(each) for each in wanted)


def _gpu(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidError(f'gpu must be a str such as "A100:2", not {_shown(value)}')
    found = _GPU.fullmatch(value.strip())
    if found is None:
        raise InvalidError(f'gpu {value!r} is not a GPU: write TYPE or TYPE:COUNT, as in "A100:2"')
    kind, count = found.groups()
    kind = kind.removesuffix("!")  # "no other type, please": no other is ever given here
    if count is None:
        return f"{kind.upper()}:1"
    if not count.isascii() or not count.isdigit() or not 1 <= int(count) <= _MAX_GPUS:
        raise InvalidError(f"gpu {value!r}: the count must be a number from 1 to {_MAX_GPUS}")
    return f"{kind.upper()}:{int(count)}"


def _pair(field: str, value: object) -> tuple[object, object]:
    if isinstance(value, tuple):
        if len(value) != 2:
            raise InvalidError(f"{field} must be a number or (request, limit), not {value!r}")
        return value[0], value[1]
    return value, None


def resources(
    cpu: object,
    memory: object,
    gpu: object,
    runner_labels: object = None,
    ephemeral_disk: object = None,
) -> Resources:
    """Cores, MiB of memory and of disk, GPUs and what a runner must be labelled; a `(request, limit)`
    tuple also caps."""
    default = Resources()
    cores, core_limit = (default.cpu, None) if cpu is None else _pair("cpu", cpu)
    mib, mib_limit = (default.memory_mib, None) if memory is None else _pair("memory", memory)
    asked = number("cpu", cores, least=0.001, most=1024)
    asked_mib = whole("memory", mib, least=1)
    cap = None if core_limit is None else number("cpu limit", core_limit, least=0.001)
    cap_mib = None if mib_limit is None else whole("memory limit", mib_limit, least=1)
    if cap is not None and cap < asked:
        raise InvalidError(f"cpu limit {cap} is below the request {asked}: raise the limit")
    if cap_mib is not None and cap_mib < asked_mib:
        raise InvalidError(
            f"memory limit {cap_mib} MiB is below the request {asked_mib} MiB: raise the limit"
        )
    return Resources(
        cpu=asked,
        cpu_limit=cap,
        memory_mib=asked_mib,
        memory_limit_mib=cap_mib,
        gpus=gpus(gpu),
        labels={} if runner_labels is None else labels("runner_labels", runner_labels),
        disk_mib=None
        if ephemeral_disk is None
        else whole("ephemeral_disk", ephemeral_disk, least=1),
    )


def scaling(minimum: object, maximum: object, buffer: object, window: object) -> Scaling:
    """Bounds for the autoscaler; None leaves a default."""
    least = 0 if minimum is None else whole("min_containers", minimum, least=0)
    most = None if maximum is None else whole("max_containers", maximum, least=1)
    spare = 0 if buffer is None else whole("buffer_containers", buffer, least=0)
    if most is not None and least > most:
        raise InvalidError(f"min_containers ({least}) is more than max_containers ({most})")
    if window is None:
        return Scaling(min_containers=least, max_containers=most, buffer_containers=spare)
    idle_s = number("scaledown_window", window, least=2, most=3600)
    return Scaling(
        min_containers=least,
        max_containers=most,
        buffer_containers=spare,
        scaledown_window_s=idle_s,
    )


def timeout(field: str, value: object) -> float:
    """Seconds from 1 to a day."""
    return number(field, value, least=1, most=DAY_S)


def variables(value: object) -> dict[str, str]:
    """Environment variables; those that are None are dropped."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidError(f"env must be a dict of str to str, not {_shown(value)}")
    chosen: dict[str, str] = {}
    for name, content in value.items():
        variable_name("env", name)
        if content is None:
            continue
        if not isinstance(content, str):
            raise InvalidError(f"env[{name!r}] must be a str, not {_shown(content)}")
        chosen[name] = content
    return chosen


def variable_name(field: str, value: object) -> str:
    """`value` if it can name an environment variable."""
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        raise InvalidError(f"{field}: {value!r} can't name an environment variable")
    return value


def nothing_yet(field: str, value: object) -> None:
    """Accept a feature this version lacks only while it isn't used."""
    if isinstance(value, Sequence | Mapping) and not isinstance(value, str):
        if not value:
            return
    elif value is None or value is False:
        return
    raise InvalidError(f"{field} is not available yet in this version of Squall: leave it out")


_TAG = re.compile(r"[A-Za-z0-9._-]{1,63}")


def labels(field: str, value: object) -> dict[str, str]:
    """Keys and values of up to 63 letters, digits, dots, dashes and underscores each."""
    if not isinstance(value, Mapping):
        raise InvalidError(f"{field} must map str to str, not {value!r}")
    for key, text_ in value.items():
        for part in (key, text_):
            if not isinstance(part, str) or not _TAG.fullmatch(part):
                raise InvalidError(
                    f"{field}: {part!r} must be up to 63 letters, digits, '.', '_' and '-'"
                )
    return dict(value)


def mount_paths(value: object) -> None:
    """Paths of `volumes`: canonical, absolute and not one the container lives in."""
    if not isinstance(value, Mapping):
        raise InvalidError(f"volumes must be a dict of path to Volume, not {_shown(value)}")
    for path in value:
        place = str(path)
        clean = place.startswith("/") and "//" not in place and not place.endswith("/")
        if place in _FORBIDDEN_MOUNTS or not clean or {".", ".."} & set(place.split("/")):
            raise InvalidError(
                f"volumes: {place!r} can't be a mount path: use an absolute path without '..' "
                "that is not /, /root or /tmp"
            )
