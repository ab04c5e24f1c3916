"""Structured logs, configured once, by a process's main and nobody else.

Events are dotted and past tense with ids as fields: `log.info("call.placed", call_id=...)`.
"""

import logging
import sys
from typing import Any, Literal, TextIO


def _import_structlog() -> None:
    """Import structlog without rich, which it takes along for coloured tracebacks: 230 of its 330
    ms of CPU, and we colour none. rich is masked for the moment only."""
    absent = object()
    before: Any = sys.modules.get("rich", absent)
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        if before is absent:
            del sys.modules["rich"]
        else:
            sys.modules["rich"] = before


_import_structlog()
import structlog  # noqa: E402
from structlog.typing import Processor  # noqa: E402

LogFormat = Literal["json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]


def configure_logs(
    form: LogFormat = "json", level: LogLevel = "info", stream: TextIO | None = None
) -> None:
    """Send structlog's and the standard library's records to `stream` (None: stderr).

    Tracebacks carry no local variables: those may hold users' data and credentials.
    """
    out = sys.stderr if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    render: list[Processor]
    if form == "json":
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.plain_traceback
        colors = out.isatty()
        render = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    # Libraries' own chatter: only what somebody should look at.
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
