"""Functions that run while an image is built: pickled with the modules they need."""

import hashlib
import inspect
import marshal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final

from squall_contracts import images

from squall._image.files import Collector
from squall._image.sources import python_source_entries
from squall._modal import alias
from squall.exception import InvalidError, ModuleNotMountable

ARGUMENTS_LIMIT_BYTES: Final = 2 << 20


def check_function(function: object) -> None:
    """InvalidError unless `function` can run while an image is built."""
    if not isinstance(function, FunctionType):
        raise InvalidError(
            f"run_function takes a plain Python function, not {type(function).__name__}: "
            "leave out @app.function, or pass its undecorated function"
        )
    if function.__name__ == "<lambda>":
        raise InvalidError("run_function takes no lambda: its source can't name the image; use def")


@dataclass(frozen=True)
class BakedFunction:
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    timeout_s: float
    include_source: bool
    env: dict[str, str]
    label: str = "run_function"

    def step(self, collector: Collector) -> images.Step:
        files = self._modules() if self.include_source else []
        pickled = self._pickle(by_value=not files)
        return images.RunFunction(
            serialized=collector.data(pickled, "function.pkl"),
            source_sha256=self._fingerprint(),
            files=tuple(collector.file(local, remote) for remote, local in files),
            timeout_s=self.timeout_s,
            env=self.env,
        )

    def _modules(self) -> list[tuple[str, Path]]:
        """The source of the function's package; nothing for a function that no module holds."""
        name = self.function.__module__
        if name == "__main__":
            return []
        try:
            return python_source_entries(name.partition(".")[0])
        except ModuleNotMountable:
            return []  # a notebook, or an interactive session: it goes by value

    def _pickle(self, by_value: bool) -> bytes:
        import cloudpickle

        module = sys.modules.get(self.function.__module__)
        if module is None or not by_value or module.__name__ == "__main__":
            return self._dumps()
        cloudpickle.register_pickle_by_value(module)
        try:
            return self._dumps()
        finally:
            cloudpickle.unregister_pickle_by_value(module)

    def _dumps(self) -> bytes:
        import cloudpickle

        name = self.function.__qualname__
        try:
            size = len(cloudpickle.dumps((self.args, self.kwargs)))
            pickled: bytes = cloudpickle.dumps(
                (alias.carried(self.function), self.args, self.kwargs)
            )
        except Exception as error:  # user objects raise what they like while they are pickled
            raise InvalidError(f"run_function: {name} can't be pickled: {error}") from error
        if size > ARGUMENTS_LIMIT_BYTES:
            raise InvalidError(
                f"run_function: the arguments of {name} take {size} bytes pickled, "
                f"{ARGUMENTS_LIMIT_BYTES} at most: add them as files"
            )
        return pickled

    def _fingerprint(self) -> str:
        """sha256 over source, arguments and the plain global values the function uses."""
        import cloudpickle

        hashed = hashlib.sha256()
        hashed.update(_source(self.function))
        hashed.update(cloudpickle.dumps((self.args, sorted(self.kwargs.items()))))
        for name, value in sorted(_plain_globals(self.function).items()):
            hashed.update(f"{name}={value!r};".encode())
        return hashed.hexdigest()


def _source(function: Callable[..., Any]) -> bytes:
    try:
        return inspect.getsource(function).encode()
    except OSError:  # typed at a prompt: the code object stands for the text
        code: CodeType = function.__code__
        return marshal.dumps(code.replace(co_filename="", co_firstlineno=1))


def _plain_globals(function: Callable[..., Any]) -> dict[str, Any]:
    names: tuple[str, ...] = function.__code__.co_names
    scope: dict[str, Any] = function.__globals__
    return {name: scope[name] for name in names if name in scope and _plain(scope[name])}


def _plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_plain(item) for pair in value.items() for item in pair)
    return value is None or isinstance(value, str | bytes | int | float | bool)
