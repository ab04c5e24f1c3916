"""`modal.functions`: where old scripts find functions, calls and `gather`."""

from squall._calling.gathering import gather
from squall.call import FunctionCall
from squall.function import Function

__all__ = ["Function", "FunctionCall", "gather"]
