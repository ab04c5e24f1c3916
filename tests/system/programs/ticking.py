"""Deployed, it ticks by itself; run, it never does."""

import squall

app = squall.App("ticking")


@app.function(schedule=squall.Period(seconds=0.5))
def tick() -> float | None:
    at = squall.current_scheduled_time()
    seconds = None if at is None else at.timestamp()
    print(f"tick {seconds}", flush=True)
    return seconds


@app.function(schedule=squall.Cron("0 6 * * 1", timezone="America/New_York"))
def weekly() -> None: ...


@app.function()
def idle() -> str:
    return "idle"
