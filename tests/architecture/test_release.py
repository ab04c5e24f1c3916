"""The version and the changelog tell the same story."""

import re
import tomllib

from .tree import ROOT


def test_changelog_opens_with_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == version, (
        f"CHANGELOG.md opens with {headings[0]}, pyproject.toml says {version}"
    )


def test_readme_links_lead_somewhere() -> None:
    readme = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)", readme)
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing, missing


def test_readme_names_every_example() -> None:
    readme = (ROOT / "README.md").read_text()
    examples = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
    assert examples
    assert not [name for name in examples if name not in readme]


def test_examples_are_short() -> None:
    long = [
        path.name
        for path in (ROOT / "examples").glob("*.py")
        if len(path.read_text().splitlines()) > 60
    ]
    assert not long, long
