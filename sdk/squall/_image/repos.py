"""Private git repositories that pip installs from: hosts, tokens, and how git gets them. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from squall._image import check
from squall.exception import InvalidError

TOKENS: Final = {"github.com": "GITHUB_TOKEN", "gitlab.com": "GITLAB_TOKEN"}
"""By host, the variable that holds what logs in."""
_REPOSITORY: Final = re.compile(r"([\w.-]+)/([\w./-]+?)(?:\.git)?(@[\w./-]+)?")


class Repository(NamedTuple):
    host: str
    url: str
    """As pip takes it."""


def parsed(label: str, repositories: Iterable[object]) -> tuple[Repository, ...]:
    """Repositories such as `github.com/us/private@1.2`. InvalidError."""
    found = []
    for text in check.texts(repositories, f"{label}: repositories"):
        matched = _REPOSITORY.fullmatch(text)
        if matched is None or matched[1] not in TOKENS:
            raise InvalidError(
                f"{label}: {text!r} is no repository of {' or '.join(TOKENS)}: "
                "write it as github.com/owner/name[@version]"
            )
        place, version = f"{matched[1]}/{matched[2]}.git", matched[3] or ""
        found.append(Repository(matched[1], f"git+https://{place}{version}"))
    return tuple(found)


def tokens(repositories: Iterable[Repository]) -> list[str]:
    """The variables a secret must have for these."""
    return sorted({TOKENS[each.host] for each in repositories}) or sorted(TOKENS.values())


def git_variables(repositories: Iterable[Repository], user: str) -> dict[str, str]:
    """Variables that make git ask a helper of ours, which knows the tokens by name alone."""
    variables = {"GIT_TERMINAL_PROMPT": "0"}
    hosts = sorted({each.host for each in repositories})
    for number, host in enumerate(hosts):
        told = f'echo username={check.quoted(user)}; echo "password=${TOKENS[host]}"'
        variables[f"GIT_CONFIG_KEY_{number}"] = f"credential.https://{host}.helper"
        variables[f"GIT_CONFIG_VALUE_{number}"] = f"!f() {{ {told}; }}; f"
    return variables | {"GIT_CONFIG_COUNT": str(len(hosts))}


def pip_options(
    label: str, indexes: Mapping[str, str | None], pre: bool, extra_options: str
) -> list[str]:
    """Options of pip, quoted. `indexes`: find_links, index_url and extra_index_url."""
    words = ["--pre"] if check.flag(pre, f"{label}: pre") else []
    for name, value in indexes.items():
        chosen = check.optional_text(value, f"{label}: {name}")
        words += [] if chosen is None else [f"--{name.replace('_', '-')}", check.quoted(chosen)]
    extra = check.options(extra_options, f"{label}: extra_options")
    return [*words, extra] if extra else words


def command(repositories: Iterable[Repository], options: list[str]) -> str:
    """The shell command that installs them; it says which token is missing."""
    checks = [f': "${{{name}:?is in no secret of this step}}"' for name in tokens(repositories)]
    urls = [check.quoted(each.url) for each in repositories]
    pip = (
        "PIP_ROOT_USER_ACTION=ignore PIP_BREAK_SYSTEM_PACKAGES=1 "
        "python -m pip install --no-cache-dir"
    )
    return " && ".join([*checks, " ".join([pip, *options, *urls])])
