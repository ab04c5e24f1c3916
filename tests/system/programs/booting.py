"""Ten containers that take a while until they are ready."""

import time

import squall

app = squall.App("booting")


@app.cls(min_containers=10, max_containers=10, scaledown_window=60)
class Slow:
    """Takes a while until it is ready."""

    @squall.enter()
    def wait(self) -> None:
        time.sleep(2.0)

    @squall.method()
    def echo(self, number: int) -> int:
        time.sleep(0.5)
        return number
