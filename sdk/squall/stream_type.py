"""Where the output of a command in a sandbox goes."""

import subprocess
from enum import Enum

__all__ = ["StreamType"]


class StreamType(Enum):
    """`PIPE`: to who reads it; `STDOUT`: printed here as it comes; `DEVNULL`: nowhere."""

    DEVNULL = subprocess.DEVNULL
    PIPE = subprocess.PIPE
    STDOUT = subprocess.STDOUT

    def __repr__(self) -> str:
        return f"{self.__module__}.{type(self).__name__}.{self.name}"
