"""Every night: collect sales, sum them up, keep a report.

squall deploy examples/24_data_pipeline.py    (squall schedule list shows when it runs)
"""

import csv
import datetime
import json
import random
from pathlib import Path

import squall

app = squall.App("data-pipeline")
data = squall.Volume.from_name("example-sales", create_if_missing=True)
DATA = Path("/data")


@app.function(volumes={"/data": data})
def collect(day: str) -> str:
    rows = [(random.choice(["tea", "coffee"]), random.randint(1, 9)) for _ in range(1000)]
    with (DATA / f"{day}.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    data.commit()
    return file.name


@app.function(volumes={"/data": data})
def summed(name: str) -> dict[str, int]:
    data.reload()  # what another container has written meanwhile
    totals = {"tea": 0, "coffee": 0}
    with Path(name).open(newline="") as file:
        for item, amount in csv.reader(file):
            totals[item] += int(amount)
    return totals


@app.function(volumes={"/data": data}, schedule=squall.Cron("0 3 * * *", timezone="Europe/Berlin"))
def nightly(days: int = 7) -> None:
    due = squall.current_scheduled_time() or datetime.datetime.now(datetime.UTC)  # or by hand
    wanted = [str((due - datetime.timedelta(days=n)).date()) for n in range(1, days + 1)]
    names = list(collect.map(wanted))
    report = dict(zip(wanted, summed.map(names), strict=True))
    (DATA / "report.json").write_text(json.dumps(report, sort_keys=True))
    data.commit()


@app.local_entrypoint()
def main(days: int = 3) -> None:
    nightly.remote(days)
    for day, totals in json.loads(b"".join(data.read_file("report.json"))).items():
        print(day, totals)
