"""A report every morning and a heartbeat every few minutes; both can be run by hand."""

import datetime

import modal

app = modal.App("scheduled-jobs")


@app.function(schedule=modal.Cron("0 6 * * 1", timezone="Europe/Berlin"))
def weekly_report(title: str = "weekly"):
    return f"{title} report of {datetime.date.today().year >= 2024}"


@app.function(schedule=modal.Period(minutes=5))
def heartbeat():
    print("still here")


@app.local_entrypoint()
def main():
    print(weekly_report.remote())
    heartbeat.remote()
