"""An app that is deployed again and again: the tests write another VERSION into it each time."""

import os
import time

import squall

VERSION = 1
app = squall.App("redeployed")


@app.function(max_containers=2, timeout=60)
def step(x: int, seconds: float = 0.0) -> tuple[int, int]:
    time.sleep(seconds)
    return x, VERSION


@app.function(max_containers=1)
def told() -> tuple[str, str]:
    return os.environ.get("GREETING", "nothing"), os.environ["SQUALL_TASK_ID"]


@app.function(max_containers=1)
def doubled(x: int | list[int]) -> int | list[int]:
    return [2 * each for each in x] if isinstance(x, list) else x


@app.cls(max_containers=1, scaledown_window=2)
class Shop:
    @squall.method()
    def version(self) -> int:
        return VERSION

    @squall.exit()
    def close(self) -> None:
        print(f"version {VERSION} closed")


@app.cls(max_containers=1)
class Lingerer:
    @squall.method()
    def container(self) -> str:
        return os.environ["SQUALL_TASK_ID"]

    @squall.exit()
    def linger(self) -> None:
        while True:
            try:
                time.sleep(60)
            except BaseException as error:  # noqa: BLE001 - it heeds nothing: that is the fault
                print(f"not leaving for a {type(error).__name__}")
