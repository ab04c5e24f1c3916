"""`squall.Probe`: how to find out that a sandbox is ready."""

from dataclasses import dataclass

from squall_contracts import sandbox_spec

from squall import _validate
from squall.exception import InvalidError


@dataclass(frozen=True)
class Probe:
    """`Probe.with_tcp(port)`: it takes connections there. `Probe.with_exec(*argv)`: that command ends
    with 0 in it. Asked every `interval_ms` milliseconds."""

    tcp_port: int | None = None
    exec_argv: tuple[str, ...] | None = None
    interval_ms: int = 100

    def __post_init__(self) -> None:
        if (self.tcp_port is None) == (self.exec_argv is None):
            raise InvalidError("Probe: use Probe.with_tcp(port) or Probe.with_exec(*argv)")

    @classmethod
    def with_tcp(cls, port: int, *, interval_ms: int = 100) -> "Probe":
        _validate.whole("Probe.with_tcp: port", port, least=1, most=65535)
        _validate.whole("Probe.with_tcp: interval_ms", interval_ms, least=1)
        return cls(tcp_port=port, interval_ms=interval_ms)

    @classmethod
    def with_exec(cls, *argv: str, interval_ms: int = 100) -> "Probe":
        if not argv:
            raise InvalidError("Probe.with_exec needs a command")
        if not all(isinstance(each, str) for each in argv):
            raise InvalidError("Probe.with_exec: all arguments must be str")
        _validate.whole("Probe.with_exec: interval_ms", interval_ms, least=1)
        return cls(exec_argv=tuple(argv), interval_ms=interval_ms)

    def _wire(self) -> sandbox_spec.Probe:
        return sandbox_spec.Probe(
            port=self.tcp_port, argv=self.exec_argv or (), interval_s=self.interval_ms / 1000
        )
