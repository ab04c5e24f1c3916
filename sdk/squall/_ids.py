"""Fresh unguessable ids, cheap enough for the hot path: random characters are drawn in bulk."""

import os

from squall_contracts.message import ID_ALPHABET, ID_LENGTH, made_call_id

from squall import _context

_FAIR = len(ID_ALPHABET) * (256 // len(ID_ALPHABET))
_TO_LETTER = bytes(ord(ID_ALPHABET[byte % len(ID_ALPHABET)]) for byte in range(256))
_UNFAIR = bytes(range(_FAIR, 256))
"""Bytes past the last whole alphabet would favour its first letters: they are dropped."""

_drawn: list[str] = []


def new_call_id() -> str:
    """`fc-` and 22 characters; in a container it says in which input it was made. Safe from any
    thread, and after a fork."""
    maker = _context.running.get()
    return _fresh() if maker is None else made_call_id(_fresh(), maker.call_id, maker.index)


def _fresh() -> str:
    try:
        return _drawn.pop()
    except IndexError:
        letters = os.urandom(4096).translate(_TO_LETTER, _UNFAIR).decode("ascii")
        _drawn.extend(
            f"fc-{letters[at : at + ID_LENGTH]}"
            for at in range(0, len(letters) - ID_LENGTH, ID_LENGTH)
        )
        return _drawn.pop()


os.register_at_fork(after_in_child=_drawn.clear)
