"""Whether the addresses an app is to have are free. Pure."""

from collections.abc import Iterable, Sequence

from squall_gateway.web.core import Endpoint


def clash(wanted: Sequence[Endpoint], others: Iterable[Endpoint]) -> str | None:
    """What stands in the way of an app with the endpoints `wanted`, beside those of `others`, in one
    line; None: nothing does. Routes of one app share its address, each with a method and path of its
    own."""
    own: dict[str, Endpoint] = {}
    for endpoint in wanted:
        for claimed in _claims(endpoint):
            before = own.setdefault(claimed, endpoint)
            if before is not endpoint:
                return (
                    f"{before.name} and {endpoint.name} of app {endpoint.app!r} would both be at "
                    f"{claimed}: {_remedy(endpoint)}"
                )
    taken = {place: other for other in others for place in _places(other)}
    for endpoint in wanted:
        for place in _places(endpoint):
            other = taken.get(place)
            if other is not None:
                return f"{endpoint.name} would be at {place}, {_owner(other, endpoint)}"
    return None


def _places(endpoint: Endpoint) -> tuple[str, ...]:
    """The names an endpoint is asked at."""
    return (endpoint.subdomain, *endpoint.web.custom_domains)


def _claims(endpoint: Endpoint) -> tuple[str, ...]:
    """What no other endpoint of its app may have, too."""
    if endpoint.web.kind != "route":
        return _places(endpoint)
    path = "/".join(
        "{}" if each.startswith("{") else each for each in endpoint.web.path.strip("/").split("/")
    )
    return (f"{endpoint.web.http_method} {endpoint.subdomain}/{path}",)


def _owner(other: Endpoint, endpoint: Endpoint) -> str:
    if other.account != endpoint.account:
        return f"which another workspace has: {_remedy(endpoint)}"
    return (
        f"as {other.name} of app {other.app!r} in environment {other.environment!r} is: "
        f"{_remedy(endpoint)}, or stop that app"
    )


def _remedy(endpoint: Endpoint) -> str:
    if endpoint.web.kind == "route":
        return "give it another path or method"
    return "give it another label= or custom_domains="
