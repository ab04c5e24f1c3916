"""Scenario 5: secrets. What functions return of them are digests, so that no result holds a value."""

import hashlib
import os

import squall

OWN = [f"VAULT_OWN_{number}" for number in range(25)]
STORED = [f"VAULT_STORED_{number}" for number in range(25)]

app = squall.App(
    "vault",
    image=squall.Image.debian_slim("3.11"),
    secrets=[squall.Secret.from_dict({"ORDER_A": "app", "ORDER_B": "app", "ORDER_C": "app"})],
)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@app.function(
    secrets=[squall.Secret.from_local_environ(OWN), squall.Secret.from_name("vault")],
    # By its first letters a variable of the interpreter: no warm container could have it, it is in
    # the environment the process is started with.
    env={"PYTHONCANARY": "not-a-secret-but-a-canary"},
)
def digests() -> dict[str, str]:
    print("reading", len(OWN) + len(STORED), "variables")
    return {name: digest(os.environ[name]) for name in (*OWN, *STORED)}


@app.function(secrets=[squall.Secret.from_name("vault")])
def fail() -> None:
    raise ValueError(f"no luck with {os.environ['VAULT_STORED_0'][:0]}VAULT_STORED_0")


@app.function(
    secrets=[
        squall.Secret.from_dict({"ORDER_B": "first", "ORDER_C": "first", "ORDER_D": "first"}),
        squall.Secret.from_dict({"ORDER_C": "second", "ORDER_D": "second"}),
    ],
    env={"ORDER_D": "env"},
)
def order() -> list[str]:
    return [os.environ[f"ORDER_{letter}"] for letter in "ABCD"]


@app.cls(secrets=[squall.Secret.from_name("vault", required_keys=["VAULT_STORED_0"])])
class Keeper:
    @squall.enter()
    def read(self) -> None:
        self.digest = digest(os.environ["VAULT_STORED_0"])

    @squall.method()
    def first(self) -> str:
        return self.digest
