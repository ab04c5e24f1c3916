"""Clusters, a server of its own making, and what a container is told to do by its own code."""

import os
import socket
import subprocess
import sys
import time

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
def can_reach(address: str, port: int) -> bool:
    """A container of another function."""
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False


@app.function()
@squall.clustered(size=3)
def ring() -> tuple[list[str], bool]:
    """What the others told rank 0 over sockets of their own, and whether a stranger could."""
    here = squall.Cluster.from_context()
    leader = here.container_ips()[0]
    if here.container_rank() > 0:
        until = time.monotonic() + 30
        while True:
            try:
                with socket.create_connection((leader, 8019), timeout=5) as line:
                    line.sendall(str(here.container_rank()).encode())
                    return [], False
            except OSError:  # it doesn't listen yet
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
    told = []
    with socket.create_server((leader, 8019)) as listening:
        listening.settimeout(30)
        for _ in range(2):
            line, _address = listening.accept()
            with line:
                told.append(line.recv(1).decode())
        return sorted(told), can_reach.remote(leader, 8019)


@app.function()
def last_input() -> str:
    print("the last input is run", flush=True)
    experimental.stop_fetching_inputs()
    return os.environ["MODAL_TASK_ID"]


@app.function()
def leaf(number: int) -> int:
    if number < 0:
        raise ValueError("below zero")
    return number


@app.function()
def branch(number: int) -> int:
    return sum(leaf.map(range(number)))


@app.function()
def trunk() -> int:
    leaf.spawn(-1)
    return branch.remote(2)


@app.server(port=8017, unauthenticated=True)
class Files:
    @squall.enter()
    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "http.server", "8017"])

    @squall.exit()
    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
