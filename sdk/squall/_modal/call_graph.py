"""`modal.call_graph`: what `FunctionCall.get_call_graph` gives."""

from squall.types import InputInfo, InputStatus

__all__ = ["InputInfo", "InputStatus"]
