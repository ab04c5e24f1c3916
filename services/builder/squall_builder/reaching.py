"""What steps are told so that they reach things: certificates, package indexes, proxies. Pure."""

from typing import Final

from squall_builder.lines import IN_IMAGE
from squall_builder.settings import Settings

CA_ARGUMENTS: Final = (
    "PIP_CERT",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
)


def network_arguments(settings: Settings) -> dict[str, str]:
    """Build arguments that say how to reach things; stages declare them, images don't keep them."""
    found = dict.fromkeys(CA_ARGUMENTS, f"{IN_IMAGE}/ca.pem") if settings.ca_bundle else {}
    if settings.index_url:
        found |= {"PIP_INDEX_URL": settings.index_url, "UV_DEFAULT_INDEX": settings.index_url}
    if settings.extra_index_url:
        found["PIP_EXTRA_INDEX_URL"] = settings.extra_index_url
        found["UV_INDEX"] = settings.extra_index_url
    if settings.python_mirror:
        found["UV_PYTHON_INSTALL_MIRROR"] = settings.python_mirror
    return found


def proxy_arguments(settings: Settings) -> dict[str, str]:
    """Docker knows these build arguments without a declaration."""
    given = {
        "http_proxy": settings.http_proxy,
        "https_proxy": settings.https_proxy,
        "no_proxy": settings.no_proxy,
    }
    return {
        spelled: value for name, value in given.items() if value for spelled in (name, name.upper())
    }
