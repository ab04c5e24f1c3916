"""The REST API does what its own OpenAPI document says, whatever it is sent."""

import asyncio
import warnings
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from squall_gateway.rest.openapi import document
from squall_gateway.rest.routes import PREFIX, ROUTES

from .rest_rig import running_rest

EXAMPLES = {False: 8, True: 4}
WRONGED = {"call", "get_call", "letters"}
"""Operations that are sent what their schema forbids: a body, a number, a name."""
KNOWN = {"app": "a", "function": "echo"}


@pytest.mark.parametrize("negative", [False, True], ids=["valid", "invalid"])
async def test_requests_made_from_the_document_are_answered_as_it_says(
    tmp_path: Path, negative: bool
) -> None:
    async with running_rest(tmp_path, web_request_wait_s=0.5) as rest:
        url = f"{rest.platform.web_url}{PREFIX}/openapi.json"
        await asyncio.to_thread(_ask, url, rest.token, negative)
        assert negative or rest.inputs, "no call came through"


def _ask(url: str, token: str, negative: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the library's own imports
        import schemathesis
        from schemathesis.checks import not_a_server_error
        from schemathesis.generation import GenerationMode
        from schemathesis.specs.openapi import checks

        mode = GenerationMode.NEGATIVE if negative else GenerationMode.POSITIVE
        held = [
            not_a_server_error,
            checks.status_code_conformance,
            checks.content_type_conformance,
            checks.response_schema_conformance,
            checks.response_headers_conformance,
            checks.negative_data_rejection,
        ]
        schema: Any = schemathesis.openapi.from_url(url)
        for result in schema.get_all_operations():
            operation = result.ok()
            if negative and operation.definition.raw["operationId"] not in WRONGED:
                continue
            known = KNOWN if "{function}" in operation.path else None

            @hypothesis.settings(
                max_examples=EXAMPLES[negative],
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(mode, path_parameters=known))
            def ask(case: Any) -> None:
                headers = {"authorization": f"Bearer {token}"}
                response = case.call(headers=headers, timeout=60)
                case.validate_response(response, checks=held)

            ask()


def test_every_route_is_in_the_document_with_all_it_may_answer() -> None:
    made = document()
    for route in ROUTES:
        operation = made["paths"][PREFIX + route.path][route.method.lower()]
        assert operation["operationId"] == route.operation
        assert str(route.status) in operation["responses"]
        assert ("security" in operation) is not route.is_open
        assert ("401" in operation["responses"]) is not route.is_open
