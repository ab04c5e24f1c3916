"""A sandbox with files: put there, worked on, fetched back, and kept as an image for the next one."""

import squall

app = squall.App("19_sandbox_files")

WORK = """
import csv
with open("points.csv") as file:
    rows = list(csv.DictReader(file))
with open("sum.txt", "w") as file:
    file.write(str(sum(int(row["y"]) for row in rows)))
"""


@app.local_entrypoint()
def main() -> None:
    sandbox = squall.Sandbox.create(app=app, timeout=600)
    files = sandbox.filesystem
    files.write_text("x,y\n1,10\n2,20\n3,12\n", "/root/data/points.csv")
    sandbox.exec("python", "-c", WORK, workdir="/root/data").wait()
    print("sum:", files.read_text("/root/data/sum.txt"))
    for found in files.list_files("/root/data"):
        print(f"{found.permissions} {found.size:3} {found.name}")
    try:
        image = sandbox.snapshot_filesystem()
    except squall.exception.InvalidError as error:  # the process runtime has none
        print("no snapshot:", error)
    else:
        restored = squall.Sandbox.create("cat", "/root/data/sum.txt", app=app, image=image)
        restored.wait()
        print("restored:", restored.stdout.read())
    print("ended with", sandbox.terminate(wait=True))
