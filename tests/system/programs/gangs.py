"""Clusters, a server of its own making, and what a container is told to do by its own code."""

import os
import subprocess
import sys

import squall
from squall import experimental

app = squall.App("gangs")


@app.function()
@squall.clustered(size=3)
def ranks(word: str) -> tuple[str, int, list[str], bool]:
    here = squall.Cluster.from_context()
    ids = here.container_ids()
    own = os.environ["MODAL_TASK_ID"]
    return word, here.container_rank(), ids, ids[here.container_rank()] == own


@app.function()
@squall.clustered(size=2)
async def fails_behind() -> None:
    if squall.Cluster.from_context().container_rank() == 1:
        raise ValueError("rank 1 is out")


@app.function()
def last_input() -> str:
    print("the last input is run", flush=True)
    experimental.stop_fetching_inputs()
    return os.environ["MODAL_TASK_ID"]


@app.server(port=8017, unauthenticated=True)
class Files:
    @squall.enter()
    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "http.server", "8017"])

    @squall.exit()
    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
