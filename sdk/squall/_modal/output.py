"""`modal.output`: where scripts find `enable_output`."""

from squall._console.showing import enable_output

__all__ = ["enable_output"]
