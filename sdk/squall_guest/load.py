"""From a spec to the user's function."""

import hashlib
import importlib
from collections.abc import Callable
from typing import Any

from squall import _container, _pickling
from squall.exception import DeserializationError, InvalidError
from squall_contracts.functions import FunctionSpec

Function = Callable[..., Any]


def imported(spec: FunctionSpec) -> Function:
    """Import the function's module and walk to it. Raises what the module raises; InvalidError if
    the name is not there or is no function."""
    module = importlib.import_module(spec.module)
    found: Any = module
    for name in spec.qualname.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise InvalidError(
                f"module {spec.module!r} has no {spec.qualname!r} in the container: define it at "
                "the module's top level, or declare the function with serialized=True"
            ) from error
    return _callable(found, spec)


def unpickled(spec: FunctionSpec, data: bytes) -> Function:
    """The function a client shipped by value. DeserializationError names the missing module."""
    if hashlib.sha256(data).hexdigest() != spec.serialized:
        raise DeserializationError(f"the pickled function {spec.name!r} was damaged on its way")
    return _callable(_pickling.loads(data), spec)


def _callable(found: object, spec: FunctionSpec) -> Function:
    function = _container.serve(found)
    if not callable(function):
        raise InvalidError(
            f"{spec.module}.{spec.qualname} is a {type(found).__name__}, not a function"
        )
    return function
