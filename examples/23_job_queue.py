"""Work that takes long, behind a web front: take a job, give a ticket, show the result later.

squall run examples/23_job_queue.py    (squall deploy keeps it up)
"""

import json
import urllib.request
from typing import Any

import squall

image = squall.Image.debian_slim().pip_install("fastapi==0.121.2")
app = squall.App("job-queue", image=image)


@app.function(retries=2, timeout=60, max_containers=4)
def factors(number: int) -> list[int]:
    found, divisor = [], 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    return [*found, number]


@app.function()
@squall.concurrent(max_inputs=50)
@squall.asgi_app()
def front() -> Any:
    from fastapi import FastAPI

    web = FastAPI()

    @web.post("/jobs", status_code=202)
    async def take(number: int) -> str:
        return (await factors.spawn.aio(number)).object_id

    @web.get("/jobs/{ticket}")
    async def show(ticket: str) -> list[int]:
        found: list[int] = await squall.FunctionCall.from_id(ticket).get.aio()
        return found

    return web


@app.local_entrypoint()
def main(number: int = 1_000_000_007 * 97) -> None:
    jobs = f"{front.get_web_url()}/jobs"
    take = urllib.request.Request(f"{jobs}?number={number}", method="POST")
    ticket = json.load(urllib.request.urlopen(take))
    print(f"ticket {ticket}: {json.load(urllib.request.urlopen(f'{jobs}/{ticket}'))}")
