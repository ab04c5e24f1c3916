"""Global code runs here and there; is_local and the environment tell which it is."""

import os
import sys

import modal

app = modal.App("where-am-i")

if modal.is_local():
    PLACE = "here"
else:
    PLACE = "there"


@app.function()
def look():
    return {
        "place": PLACE,
        "local": modal.is_local(),
        "task": os.environ["MODAL_TASK_ID"][:3],
        "remote": os.environ["MODAL_IS_REMOTE"],
        "environment": os.environ["MODAL_ENVIRONMENT"],
        "cwd": os.getcwd(),
        "module": __name__,
        "on path": "/root" in sys.path,
        "input": (modal.current_input_id() or "")[:3],
        "call": (modal.current_function_call_id() or "")[:3],
    }


@app.local_entrypoint()
def main():
    print("client", PLACE, modal.current_input_id())
    for key, value in look.remote().items():
        print(f"{key}: {value}")
