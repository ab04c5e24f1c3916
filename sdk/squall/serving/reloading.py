"""Volumes that are brought up to date while a service runs."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final

from squall.exception import Error
from squall.volume import Volume

_log: Final = logging.getLogger("squall.serving")


class Reloading:
    """A thread that reloads volumes every so often and then has the pipeline told of it."""

    def __init__(
        self, volumes: Mapping[str, Volume], interval_s: float, reloaded: Callable[[], None]
    ) -> None:
        """`reloaded`: called after each round, on the thread; what it raises is logged."""
        self._volumes = volumes
        self._interval_s = interval_s
        self._reloaded = reloaded
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="volume-reload", daemon=True)

    def start(self) -> None:
        """Begin; the first round is an interval from now."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round that runs, if one does."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._interval_s):
            self.round()

    def round(self) -> None:
        """Reload every volume, also after one that can't be, and tell of it."""
        for mount, volume in self._volumes.items():
            try:
                volume.reload()
            except (Error, OSError, RuntimeError) as error:
                _log.warning("volume at %s was not reloaded: %s", mount, error)
        try:
            self._reloaded()
        except Exception:  # noqa: BLE001 - user code: logged, as promised
            _log.exception("on_volume_reload failed: the service goes on with what it has")
