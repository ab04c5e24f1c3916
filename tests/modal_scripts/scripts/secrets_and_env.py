"""Secrets made here, stored ones, plain variables, and what wins."""

import os

import modal

app = modal.App(
    "secrets-and-env", secrets=[modal.Secret.from_dict({"REGION": "app", "SHARED": "1"})]
)
stored = modal.Secret.from_name("script-api", required_keys=["API_KEY"])


@app.function(secrets=[modal.Secret.from_dict({"REGION": "function", "EMPTY": None})])
def from_function():
    return os.environ["REGION"], os.environ["SHARED"], "EMPTY" in os.environ


@app.function(env={"REGION": "env"})
def from_env():
    return os.environ["REGION"]


@app.function(secrets=[stored])
def call_api():
    return len(os.environ["API_KEY"])


@app.local_entrypoint()
def main():
    print("function", from_function.remote())
    print("env", from_env.remote())
    print("key of", call_api.remote(), "characters")
