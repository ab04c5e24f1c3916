"""Functions for shells, and some that talk to whoever runs them."""

import squall

app = squall.App("shelled")
image = squall.Image.debian_slim().env({"FROM_IMAGE": "yes"})
kept = squall.Volume.from_name("shelled", create_if_missing=True)


@app.function(
    image=image,
    secrets=[squall.Secret.from_dict({"TOKEN": "of a secret"})],
    volumes={"/kept": kept},
)
def plain() -> str:
    return "called"


@app.function(image=image)
def ask() -> str:
    squall.interact()
    name = input("who are you? ")
    print(f"hello {name}")
    return name


@app.function(image=image)
def stops() -> int:
    number = 41
    breakpoint()
    return number + 1
