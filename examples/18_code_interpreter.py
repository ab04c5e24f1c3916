"""A code interpreter: one Python process in a sandbox that keeps its state from cell to cell."""

import json

import squall

app = squall.App("18_code_interpreter")

DRIVER = """
import contextlib, io, json, sys, traceback
state = {}
for line in sys.stdin:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            exec(json.loads(line), state)
        except Exception:
            traceback.print_exc(limit=0, file=printed)
    print(json.dumps(printed.getvalue()), flush=True)
"""


class Interpreter:
    """Runs cells in a sandbox, which lives for ten minutes at most."""

    def __init__(self) -> None:
        self.sandbox = squall.Sandbox.create(app=app, timeout=600)
        self.process = self.sandbox.exec("python", "-c", DRIVER, bufsize=1)
        self.printed = iter(self.process.stdout)

    def run(self, cell: str) -> str:
        """What the cell prints."""
        self.process.stdin.write(json.dumps(cell) + "\n")
        self.process.stdin.drain()
        return str(json.loads(next(self.printed))).strip()


@app.local_entrypoint()
def main() -> None:
    interpreter = Interpreter()
    for cell in ("x = 6", "print(x * 7)", "print(y)", "print(sum(range(x)))"):
        print(f"{cell!r}: {interpreter.run(cell)}")
    print("ended with", interpreter.sandbox.terminate(wait=True))
