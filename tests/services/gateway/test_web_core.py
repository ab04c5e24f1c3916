"""Which endpoint a request is for, and what of its headers counts."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_contracts.functions import FunctionRecord, FunctionSpec, MethodSpec, ParameterSpec
from squall_contracts.web import SUBDOMAIN_CHARACTERS, WebSpec, slug, subdomain
from squall_gateway.web import core
from squall_gateway.web import headers as about
from squall_gateway.web.claims import clash
from squall_gateway.web.core import Directory, Found, Missing

NAMES = st.text(string.ascii_letters + string.digits + "-_. ", min_size=1, max_size=70)
SEGMENTS = st.text(string.ascii_letters + string.digits + "-._~", min_size=1, max_size=8)


def record(function: str = "f", app: str = "a", **fields: object) -> FunctionRecord:
    spec = FunctionSpec(
        name=function,
        module="m",
        qualname="f",
        image_id="im-1",
        web=fields.pop("web", None),  # type: ignore[arg-type]
        methods=fields.pop("methods", ()),  # type: ignore[arg-type]
        parameters=fields.pop("parameters", ()),  # type: ignore[arg-type]
    )
    return FunctionRecord(
        function_id=f"fn-{app}-{function}",
        app_id="ap-1",
        app_name=app,
        workspace="A",
        environment=str(fields.pop("environment", "main")),
        spec=spec,
        ephemeral=bool(fields.pop("ephemeral", False)),
    )


def directory(*records: FunctionRecord, domain: str = "squall.test") -> Directory:
    made = Directory(domain)
    for revision, each in enumerate(records, 1):
        made.put(each.function_id, core.endpoints_of(each, "main", "", revision))
    return made


def found(made: Directory, host: str, path: str, method: str = "GET") -> str:
    """Function id, root and path of what is found; the status of what isn't."""
    where = made.find(host, path, method)
    if isinstance(where, Missing):
        return str(where.status)
    return f"{where.endpoint.function_id} {where.root_path}|{where.path}"


# --- names ------------------------------------------------------------------------------------------


@given(NAMES, NAMES, NAMES, NAMES, st.sampled_from(["", "dev", "ada7"]))
def test_a_subdomain_is_one_whatever_things_are_called(
    workspace: str, suffix: str, app: str, function: str, dev: str
) -> None:
    spec = WebSpec(kind="asgi")
    made = subdomain(workspace, suffix, app, function, spec, dev=dev)
    assert 0 < len(made) <= SUBDOMAIN_CHARACTERS
    assert set(made) <= set(string.ascii_lowercase + string.digits + "-")
    assert made == subdomain(workspace, suffix, app, function, spec, dev=dev)


def test_a_long_name_is_cut_and_ends_in_a_digest_of_all_of_it() -> None:
    spec = WebSpec(kind="asgi")
    one = subdomain("main", "", "a" * 60, "one", spec, dev="")
    two = subdomain("main", "", "a" * 60, "two", spec, dev="")
    assert len(one) == SUBDOMAIN_CHARACTERS
    assert one[:57] == f"main--{'a' * 50}-"
    assert one != two


def test_a_name_says_workspace_environment_app_function_and_whether_it_only_runs() -> None:
    spec = WebSpec(kind="asgi")
    assert subdomain("Main", "", "My App", "Cls.page", spec, dev="") == "main--my-app-cls-page"
    assert subdomain("main", "staging", "a", "f", spec, dev="dev") == "main-staging--a-f-dev"
    labelled = WebSpec(kind="asgi", label="shop")
    assert subdomain("main", "", "a", "f", labelled, dev="") == "main--shop"
    assert subdomain("main", "", "a", "f", WebSpec(kind="route"), dev="") == "main--a"


@given(st.text())
def test_a_slug_has_nothing_a_domain_name_may_not_have(text: str) -> None:
    made = slug(text)
    assert set(made) <= set(string.ascii_lowercase + string.digits + "-")
    assert not made.startswith("-")
    assert not made.endswith("-")


# --- where a request goes -----------------------------------------------------------------------------


def test_an_endpoint_is_found_by_host_by_path_and_by_its_own_domain() -> None:
    web = WebSpec(kind="asgi", custom_domains=("api.example.com",))
    made = directory(record(web=web))
    for host in ("main--a-f.squall.test", "MAIN--A-F.squall.test:8000", "main--a-f.localhost"):
        assert found(made, host, "/x%2Fy") == "fn-a-f |/x%2Fy"
    assert found(made, "api.example.com", "/") == "fn-a-f |/"
    assert found(made, "localhost:8000", "/web/main--a-f") == "fn-a-f /web/main--a-f|/"
    assert found(made, "localhost:8000", "/web/main--a-f/x/") == "fn-a-f /web/main--a-f|/x/"


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("other.squall.test", "/"),
        ("main--a-f.elsewhere.test", "/"),
        ("x.main--a-f.squall.test", "/"),
        ("", "/"),
        ("localhost", "/"),
        ("localhost", "/web/"),
        ("localhost", "/web/../main--a-f/"),
        ("localhost", "/web/main--a-g/"),
    ],
)
def test_what_is_nobodys_is_404(host: str, path: str) -> None:
    assert found(directory(record(web=WebSpec(kind="asgi"))), host, path) == "404"


def test_the_newest_of_two_has_an_address_until_it_goes() -> None:
    old = record(web=WebSpec(kind="asgi", label="x"))
    new = record("g", web=WebSpec(kind="asgi", label="x"))
    made = directory(old, new)
    assert found(made, "main--x.localhost", "/").startswith("fn-a-g")
    made.remove("fn-a-g")
    assert found(made, "main--x.localhost", "/").startswith("fn-a-f")
    made.remove("fn-a-f")
    assert made.is_empty()


def test_methods_of_a_class_have_addresses_unless_only_callers_know_its_parameters() -> None:
    page = MethodSpec(name="page", web=WebSpec(kind="asgi"))
    made = directory(record("C", methods=(page, MethodSpec(name="m"))))
    where = made.find("main--a-c-page.localhost", "/", "GET")
    assert isinstance(where, Found)
    assert (where.endpoint.name, where.endpoint.method) == ("C.page", "page")
    needs = ParameterSpec(name="x", kind="int")
    assert directory(record("C", methods=(page,), parameters=(needs,))).is_empty()


ROUTES = (
    record("one", web=WebSpec(kind="route", path="/users/{id}")),
    record("me", web=WebSpec(kind="route", path="/users/me")),
    record("save", web=WebSpec(kind="route", path="/users/{id}", http_method="PUT")),
    record("root", web=WebSpec(kind="route", path="/")),
)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/users/7", "fn-a-one"),
        ("GET", "/users/me", "fn-a-me"),
        ("HEAD", "/users/me/", "fn-a-me"),
        ("PUT", "/users/me", "fn-a-save"),
        ("GET", "/", "fn-a-root"),
        ("DELETE", "/users/7", "405"),
        ("GET", "/users", "404"),
        ("GET", "/users/", "404"),
        ("GET", "/users/7/more", "404"),
    ],
)
def test_of_routes_the_one_that_says_most_answers(method: str, path: str, expected: str) -> None:
    assert found(directory(*ROUTES), "main--a.localhost", path, method).split()[0] == expected


def test_a_405_names_the_methods_there_are() -> None:
    where = directory(*ROUTES).find("main--a.localhost", "/users/7", "DELETE")
    assert isinstance(where, Missing)
    assert where.allow == ("GET", "PUT")


@given(st.lists(st.tuples(SEGMENTS, st.booleans()), max_size=5))
def test_a_path_made_of_a_template_fits_it_and_gives_its_values(
    parts: list[tuple[str, bool]],
) -> None:
    template = "/" + "/".join(
        f"{{p{at}}}" if open_ else text for at, (text, open_) in enumerate(parts)
    )
    path = "/" + "/".join(text for text, _ in parts)
    values = {f"p{at}": text for at, (text, open_) in enumerate(parts) if open_}
    assert core.match(template, path) == values
    assert core.match(template, f"{path}/one/more") is None


def test_a_parameter_is_decoded_and_a_slash_in_it_is_no_separator() -> None:
    assert core.match("/files/{name}", "/files/a%2Fb%20c") == {"name": "a/b c"}


@given(st.binary(max_size=30))
def test_whatever_bytes_a_path_has_it_can_be_sent_on(raw: bytes) -> None:
    text = raw.decode("utf-8", "surrogateescape")
    core.decoded(text).encode()
    core.printable(text).encode()


# --- headers ----------------------------------------------------------------------------------------

TRUSTED = about.networks(("10.0.0.0/8", "::1"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.1.2.3", "1.2.3.4", "1.2.3.4"),
        ("10.1.2.3", "6.6.6.6, 1.2.3.4, 10.9.9.9", "1.2.3.4"),
        ("::1", "", "::1"),
        ("10.1.2.3", "10.0.0.1", "10.0.0.1"),
        ("1.1.1.1", "2.2.2.2", "1.1.1.1"),
        ("unix", "2.2.2.2", "unix"),
    ],
)
def test_forwarded_addresses_are_believed_from_trusted_proxies_only(
    peer: str, forwarded: str, client: str
) -> None:
    headers = ((b"x-forwarded-for", forwarded.encode()),)
    assert about.origin(peer, "h", headers, TRUSTED).client == client


def test_scheme_and_host_are_those_the_proxy_was_asked_for() -> None:
    headers = ((b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"shop.example.com"))
    assert about.origin("10.0.0.1", "h", headers, TRUSTED) == about.Origin(
        "10.0.0.1", "https", "shop.example.com"
    )
    assert about.origin("9.9.9.9", "h", headers, TRUSTED) == about.Origin("9.9.9.9", "http", "h")


def test_apps_see_no_headers_of_the_connection_no_forged_ones_and_no_secret() -> None:
    headers = (
        (b"connection", b"close"),
        (b"transfer-encoding", b"chunked"),
        (b"x-forwarded-for", b"6.6.6.6"),
        (b"modal-secret", b"s"),
        (b"authorization", b"theirs"),
        (b"x-a", b"1"),
        (b"x-a", b"2"),
    )
    passed = about.request_headers(headers, from_proxy=False, is_socket=False, authenticated=True)
    assert passed == ((b"authorization", b"theirs"), (b"x-a", b"1"), (b"x-a", b"2"))
    kept = about.request_headers(headers, from_proxy=True, is_socket=False, authenticated=False)
    assert {b"x-forwarded-for", b"modal-secret"} <= {name for name, _ in kept}


# --- the server itself ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "path", "at_home"),
    [
        ("localhost:8000", "/v1/apps", True),
        ("10.0.0.1", "/", True),
        ("main--a-f.squall.test", "/v1/apps", False),
        ("nobody.squall.test", "/v1/apps", False),
        ("localhost", "/web/nobody/v1", False),
    ],
)
def test_only_what_is_asked_at_no_endpoints_name_is_asked_of_the_server(
    host: str, path: str, at_home: bool
) -> None:
    made = directory(record(web=WebSpec(kind="asgi")))
    where = made.find(host, path, "GET")
    assert (isinstance(where, Missing) and where.at_home) is at_home


# --- claims -----------------------------------------------------------------------------------------


def endpoints(*records: FunctionRecord) -> list[core.Endpoint]:
    return [each for one in records for each in core.endpoints_of(one, "main", "", 0)]


def route(name: str, path: str, method: str = "GET") -> FunctionRecord:
    return record(name, web=WebSpec(kind="route", path=path, http_method=method))


@pytest.mark.parametrize(
    ("wanted", "others", "fault"),
    [
        ([record(web=WebSpec(kind="asgi"))], [], None),
        ([route("a", "/x"), route("b", "/y"), route("c", "/x", "POST")], [], None),
        ([route("a", "/x/{id}"), route("b", "/x/{name}/")], [], "give it another path"),
        (
            [record(web=WebSpec(kind="asgi", label="x")), record("g", web=WebSpec(kind="asgi", label="x"))],
            [],
            "f and g of app 'a'",
        ),
        (
            [record(web=WebSpec(kind="asgi", label="x"))],
            [record("g", "b", web=WebSpec(kind="asgi", label="x"))],
            "as g of app 'b' in environment 'main' is",
        ),
        (
            [record("c", "a-b", web=WebSpec(kind="asgi"))],
            [record("b-c", "a", web=WebSpec(kind="asgi"))],
            "main--a-b-c",
        ),
        (
            [record(web=WebSpec(kind="asgi", custom_domains=("api.example.com",)))],
            [record("g", "b", web=WebSpec(kind="asgi", custom_domains=("api.example.com",)))],
            "api.example.com",
        ),
        ([route("a", "/x")], [record("x", "b", web=WebSpec(kind="asgi", label="a"))], "main--a"),
    ],
)  # fmt: skip
def test_an_address_is_one_apps(
    wanted: list[FunctionRecord], others: list[FunctionRecord], fault: str | None
) -> None:
    found = clash(endpoints(*wanted), endpoints(*others))
    assert found is None if fault is None else found is not None and fault in found
