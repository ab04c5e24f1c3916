"""What a person sees of web endpoints: where they are, and the tokens that open them."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx

from .conftest import Squall

PAGE = """
import squall

app = squall.App("pages")


@app.web_endpoint(path="/open")
def opened():
    return {"who": "anybody"}


@app.web_endpoint(path="/closed", requires_proxy_auth=True)
def closed():
    return {"who": "a holder of a token"}
"""


def test_a_deploy_says_where_endpoints_are_and_tokens_open_them(
    squall: Squall, stack: dict[str, str], write: Callable[[str, str], Path]
) -> None:
    write("pages.py", PAGE)
    done = squall("deploy", "pages.py", **stack)
    assert done.returncode == 0, done.stderr
    urls = json.loads(squall("deploy", "pages.py", "--json", **stack).stdout)["web_urls"]
    for name, url in urls.items():
        assert f"{name} is at {url}" in done.stderr
    assert httpx.get(urls["opened"], timeout=60).json() == {"who": "anybody"}
    assert httpx.get(urls["closed"], timeout=60).status_code == 401

    made = squall("proxy-token", "create", "--comment", "for a test", **stack)
    assert "not shown again" in made.stderr
    headers = dict(line.split(": ") for line in made.stdout.splitlines())
    assert httpx.get(urls["closed"], headers=headers, timeout=60).status_code == 200
    listed = json.loads(squall("proxy-token", "list", "--json", **stack).stdout)
    assert [each["comment"] for each in listed] == ["for a test"]
    assert headers["Squall-Secret"] not in json.dumps(listed)
    assert squall("proxy-token", "delete", headers["Squall-Key"], **stack).returncode == 0
    assert httpx.get(urls["closed"], headers=headers, timeout=60).status_code == 401
    assert "no web tokens" in squall("proxy-token", "list", **stack).stdout
    gone = squall("proxy-token", "delete", headers["Squall-Key"], **stack)
    assert (gone.returncode, "there is no web token" in gone.stderr) == (1, True)
    assert squall("app", "stop", "pages", **stack).returncode == 0


def test_calling_a_web_endpoint_says_what_to_do_instead(
    squall: Squall, stack: dict[str, str], write: Callable[[str, str], Path]
) -> None:
    write("pages.py", PAGE)
    done = squall("run", "pages.py::opened", **stack)
    assert done.returncode == 2
    assert "get_web_url()" in done.stderr
