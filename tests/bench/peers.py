"""`just bench-peers`: the same no-op work on Ray, Dask, Celery and arq, in an environment of their own.

Each peer runs two worker processes on this machine. A peer whose packages or broker are missing is
named and left out. Prints one JSON line per figure, like the benchmarks of Squall itself.

    uv run --no-project --with ray --with distributed --with 'celery[redis]' --with arq \
        python tests/bench/peers.py
"""

import asyncio
import contextlib
import importlib
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

CALLS = 300
MANY = 3000


def emit(peer: str, name: str, value: float, unit: str) -> None:
    print(
        json.dumps({"peer": peer, "name": name, "value": round(value, 3), "unit": unit}), flush=True
    )


def sequential(peer: str, call: Callable[[], object]) -> None:
    call()
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    emit(peer, "warm call p50", statistics.median(times) * 1e3, "ms")
    emit(peer, "warm call p99", sorted(times)[int(CALLS * 0.99)] * 1e3, "ms")


def burst(peer: str, run: Callable[[int], object]) -> None:
    run(100)
    rates = []
    for _ in range(3):
        began = time.perf_counter()
        run(MANY)
        rates.append(MANY / (time.perf_counter() - began))
    emit(peer, f"{MANY} no-ops from one client", statistics.median(rates), "/s")


def ray_tasks() -> None:
    ray = importlib.import_module("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        noop = ray.remote(lambda: None)
        sequential("Ray tasks", lambda: ray.get(noop.remote()))
        burst("Ray tasks", lambda count: ray.get([noop.remote() for _ in range(count)]))
    finally:
        ray.shutdown()


def dask_futures() -> None:
    distributed = importlib.import_module("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):

        def noop(value: int) -> int:
            return value

        sequential("Dask", lambda: client.submit(noop, 0, pure=False).result())
        burst("Dask", lambda n: client.gather(client.map(noop, range(n), pure=False)))


@contextlib.contextmanager
def redis() -> Iterator[int]:
    binary = shutil.which("redis-server")
    if binary is None:
        raise FileNotFoundError("redis-server is not on PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", home, "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        try:
            yield port
        finally:
            process.terminate()
            process.wait()


def celery_tasks() -> None:
    importlib.import_module("celery")
    with redis() as port:
        worker = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "celery",
                "-A",
                "peers_celery",
                "worker",
                "-c",
                "2",
                "-l",
                "error",
            ],
            cwd=__file__.rpartition("/")[0],
            env={"PEERS_REDIS": str(port), "PATH": "/usr/bin:/bin"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            import os

            os.environ["PEERS_REDIS"] = str(port)
            sys.path.insert(0, __file__.rpartition("/")[0])
            noop = importlib.import_module("peers_celery").noop
            sequential("Celery on Redis", lambda: noop.delay().get(timeout=60))
            burst(
                "Celery on Redis",
                lambda count: [r.get(timeout=120) for r in [noop.delay() for _ in range(count)]],
            )
        finally:
            worker.terminate()
            worker.wait()


def arq_jobs() -> None:
    arq = importlib.import_module("arq")
    connections = importlib.import_module("arq.connections")

    async def noop(_context: dict[str, object]) -> None:
        return None

    async def result(job: Any, poll_s: float) -> None:
        # Job.result() gives up when it looks between a job's leaving the queue and its result.
        while await job.result_info() is None:  # noqa: ASYNC110 - arq offers nothing else
            await asyncio.sleep(poll_s)

    async def main(port: int) -> None:
        settings = connections.RedisSettings(port=port)
        pool = await arq.create_pool(settings)
        worker = arq.worker.Worker(
            [arq.worker.func(noop, name="noop")], redis_settings=settings, poll_delay=0.005,
            handle_signals=False, max_jobs=100,
        )  # fmt: skip
        running = asyncio.create_task(worker.main())
        times = []
        for _ in range(CALLS):
            began = time.perf_counter()
            job = await pool.enqueue_job("noop")
            await result(job, 0.005)
            times.append(time.perf_counter() - began)
        emit("arq", "warm call p50", statistics.median(times) * 1e3, "ms")
        emit("arq", "warm call p99", sorted(times)[int(CALLS * 0.99)] * 1e3, "ms")
        began = time.perf_counter()
        jobs = await asyncio.gather(*(pool.enqueue_job("noop") for _ in range(MANY)))
        await asyncio.gather(*(result(job, 0.05) for job in jobs))
        emit("arq", f"{MANY} no-ops from one client", MANY / (time.perf_counter() - began), "/s")
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await worker.close()
        await pool.aclose()

    with redis() as port:
        asyncio.run(main(port))


if __name__ == "__main__":
    chosen = sys.argv[1:] or ["ray_tasks", "dask_futures", "celery_tasks", "arq_jobs"]
    for peer in [globals()[name] for name in chosen]:
        try:
            peer()
        except (ImportError, FileNotFoundError) as missing:
            print(f"{peer.__name__}: left out, {missing}", file=sys.stderr)
