"""What web decorators accept, and what they say of what they don't."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import squall
from squall.exception import InvalidError
from squall_contracts.web import WebSpec


def page() -> Any:
    return None


def takes(x: int) -> Any:
    return x


def yields() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: squall.asgi_app(page), "parentheses"),
        (lambda: squall.fastapi_endpoint(page), "parentheses"),
        (lambda: squall.asgi_app(label="No Spaces"), "label"),
        (lambda: squall.asgi_app(label="x" * 64), "label"),
        (lambda: squall.asgi_app(custom_domains="example.com"), "list"),
        (lambda: squall.asgi_app(custom_domains=["*.example.com"]), "domain name"),
        (lambda: squall.asgi_app(requires_proxy_auth="yes"), "requires_proxy_auth"),  # type: ignore[arg-type]
        (lambda: squall.fastapi_endpoint(method="FETCH"), "method"),
        (lambda: squall.web_server(0), "port"),
        (lambda: squall.web_server(80, startup_timeout=0), "startup_timeout"),
        (lambda: squall.asgi_app()(takes), "'x' has no default"),
        (lambda: squall.wsgi_app()(yields), "generator"),
        (lambda: squall.fastapi_endpoint()(yields), "StreamingResponse"),
        (lambda: squall.asgi_app()(squall.wsgi_app()(page)), "another such decorator"),
        (lambda: squall.method()(squall.asgi_app()(page)), "one of them"),
        (lambda: squall.asgi_app()(squall.App("x").function()(page)), "below @app.function"),
        (lambda: squall.web_endpoint(path="/x"), "@app.web_endpoint"),
        (lambda: squall.App("x").web_endpoint(path="x")(page), "slash"),
        (lambda: squall.App("x").web_endpoint(path="/a b")(page), "'a b'"),
        (lambda: squall.App("x").web_endpoint(path="/{x}/{x}")(takes), "twice"),
        (lambda: squall.App("x").web_endpoint(path="/{id}")(page), "no parameter 'id'"),
        (
            lambda: squall.App("x").function(schedule=squall.Period(days=1))(
                squall.asgi_app()(page)
            ),
            "schedule",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_the_decorator(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(InvalidError, match=message):
        make()


def test_concurrent_goes_above_or_below_on_functions_and_on_the_class_only() -> None:
    app = squall.App("x")
    above = app.function(name="above")(squall.concurrent(max_inputs=7)(squall.asgi_app()(page)))

    def other() -> Any: ...

    below = app.function(name="below", serialized=True)(
        squall.asgi_app()(squall.concurrent(max_inputs=8)(other))
    )
    assert (above.options.max_inputs, below.options.max_inputs) == (7, 8)
    with pytest.raises(InvalidError, match="on the class"):

        class C:
            @squall.concurrent(max_inputs=2)
            @squall.asgi_app()
            def page(self) -> Any: ...


def test_options_say_what_was_declared() -> None:
    app = squall.App("x")
    made = app.function()(squall.web_server(8080, startup_timeout=9, label="shop")(page))
    assert made.options.web == WebSpec(kind="server", port=8080, startup_timeout_s=9, label="shop")
    assert made.local() is None

    @app.cls(serialized=True)
    class C:
        @squall.fastapi_endpoint(method="post", docs=True)
        def ask(self, q: str) -> str:
            return q

        @squall.method()
        def plain(self) -> None: ...

    specs = {each.name: each.web for each in app.declared["C"].options.methods}
    assert specs == {"ask": WebSpec(kind="fastapi", http_method="POST", docs=True), "plain": None}


def test_the_old_name_warns_and_means_the_same() -> None:
    with pytest.warns(squall.exception.DeprecationError, match="fastapi_endpoint"):
        made = squall.web_endpoint(method="POST")(page)
    assert made.web == WebSpec(kind="fastapi", http_method="POST")
