"""Secrets: values that only the functions that use them ever see.

They are encrypted here and opened where a container starts. A stored one is shared by its name;
from a shell, `squall secret create mail-account LOGIN=ada PASSWORD=-` asks for the password.
"""

import os

import squall

app = squall.App("signing")
post = squall.App("post", secrets=[squall.Secret.from_dict({"REGION": "north"})])


@app.function(secrets=[squall.Secret.from_dict({"KEY": "sesame"})], env={"SHOWN": "yes"})
def sign(text: str) -> str:
    return f"{text!r} signed with {len(os.environ['KEY'])} letters, shown: {os.environ['SHOWN']}"


@post.function(secrets=[squall.Secret.from_name("mail-account", required_keys=["PASSWORD"])])
def send(text: str) -> str:
    hidden = "*" * len(os.environ["PASSWORD"])
    return f"{os.environ['LOGIN']}:{hidden} in the {os.environ['REGION']} sends {text!r}"


@app.local_entrypoint()
def main():
    print(sign.remote("a letter"))
    stored = squall.Secret.objects
    stored.create("mail-account", {"LOGIN": "ada", "PASSWORD": "open"}, overwrite=True)
    with post.run():
        print(send.remote("hello"))
        # Containers with the old value take no more inputs: the next call meets the new one.
        squall.Secret.from_name("mail-account").update({"PASSWORD": "longer than it was"})
        print(send.remote("hello again"))
    stored.delete("mail-account")
