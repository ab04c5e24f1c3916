"""Functions with S3-compatible buckets. The container imports this too, without the endpoint."""

import os
from pathlib import Path

import squall

app = squall.App("buckets", image=squall.Image.debian_slim("3.11"))
ENDPOINT = os.environ.get("S3_ENDPOINT", "http://endpoint.invalid")
KEYS = squall.Secret.from_name("bucket-keys")


def bucket(name: str, **options: object) -> squall.CloudBucketMount:
    return squall.CloudBucketMount(
        name,
        bucket_endpoint_url=ENDPOINT,
        force_path_style=True,
        **{"secret": KEYS, **options},  # type: ignore[arg-type]
    )


BOTH = {
    "/data": bucket("things", key_prefix="in/"),
    "/mnt/all": bucket("things", read_only=True),
}


@app.function(volumes=BOTH, scaledown_window=2)
def act(action: str, path: str = "", text: str = "") -> object:
    """One function, so that its mounts are made once."""
    place = Path(path)
    match action:
        case "read":
            return place.read_text()
        case "names":
            return sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file())
        case "write":
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)
            except OSError as error:
                return str(error.strerror)
            return "written"
        case "write large":
            with place.open("wb") as file:
                for number in range(40):
                    file.write(bytes([number]) * 1024 * 1024)
        case "variables":
            return [name for name in os.environ if name.startswith("AWS_")]
    return None


@app.function(volumes={"/data": bucket("missing")}, retries=0)
def in_a_missing_bucket() -> None:
    raise AssertionError


@app.function(
    volumes={
        "/data": bucket(
            "things",
            secret=squall.Secret.from_dict(
                {"AWS_ACCESS_KEY_ID": "AKIAWRONG", "AWS_SECRET_ACCESS_KEY": "wrong"}
            ),
        )
    }
)
def with_wrong_keys() -> None:
    raise AssertionError
