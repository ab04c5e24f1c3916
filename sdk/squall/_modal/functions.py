"""`modal.functions`: where old scripts find functions and calls."""

from squall.call import FunctionCall
from squall.function import Function

__all__ = ["Function", "FunctionCall"]
