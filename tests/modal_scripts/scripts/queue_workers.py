"""Workers around a queue: the parent fills it, children drain it, one partition for each answer."""

import modal

app = modal.App("queue-workers")


@app.function()
def worker(jobs: modal.Queue, number: int) -> int:
    done = 0
    while (job := jobs.get(block=False)) is not None:
        jobs.put((number, job * job), partition="results")
        done += 1
    return done


@app.local_entrypoint()
def main():
    with modal.Queue.ephemeral() as jobs:
        jobs.put_many(list(range(10)))
        done = list(worker.starmap([(jobs, 1), (jobs, 2)]))
        results = jobs.get_many(10, partition="results")
        print("done", sum(done))
        print("squares", sorted(value for _, value in results))
        print("left", jobs.len(total=True), jobs.get(block=False))
