"""A class with a memory snapshot, a container for each call."""

import os

import squall

app = squall.App("snapshots")


@app.cls(enable_memory_snapshot=True, single_use_containers=True, max_containers=1)
class Model:
    size: int = squall.parameter(default=2)

    @squall.enter(snap=True)
    def load(self) -> None:
        self.ahead = os.environ["SQUALL_TASK_ID"]

    @squall.enter()
    async def open(self) -> None:
        self.opened_in = os.environ["SQUALL_TASK_ID"]

    @squall.method()
    def times(self, x: int) -> tuple[int, str, str]:
        """The product, and the containers whose ids the hooks saw."""
        return x * self.size, self.ahead, self.opened_in

    @squall.method()
    def through_another(self, x: int) -> int:
        return helper.remote(x)


@app.cls(enable_memory_snapshot=True, single_use_containers=True)
class Impatient:
    @squall.enter(snap=True)
    def load(self) -> None:
        self.value = helper.remote(1)

    @squall.method()
    def answer(self) -> int:
        return self.value


@app.cls(enable_memory_snapshot=True)
class Broken:
    @squall.enter(snap=True)
    def load(self) -> None:
        raise LookupError("no weights there")

    @squall.method()
    def answer(self) -> int:
        return 1


@app.function()
def helper(x: int) -> int:
    return x + 1
