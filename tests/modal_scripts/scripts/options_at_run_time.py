"""The same class with other resources, and an autoscaler that is told what to do."""

import os

import modal

app = modal.App("options-at-run-time")


@app.cls(cpu=0.25, memory=128, env={"SIZE": "small"})
class Worker:
    @modal.method()
    def size(self) -> str:
        return os.environ["SIZE"]


@app.function(min_containers=0, max_containers=3, scaledown_window=30, buffer_containers=0)
def task() -> int:
    return 1


@app.local_entrypoint()
def main():
    Big = Worker.with_options(cpu=0.5, memory=256, env={"SIZE": "big"}, scaledown_window=30)
    print("sizes", Worker().size.remote(), Big().size.remote())
    task.remote()
    task.update_autoscaler(max_containers=2, scaledown_window=20)
    stats = task.get_current_stats()
    print("runners", stats.num_total_runners >= 1, "backlog", stats.backlog)
