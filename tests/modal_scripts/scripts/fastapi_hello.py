"""One function, one URL."""

import modal

image = (
    modal.Image.debian_slim(python_version="3.11")
    .apt_install("tree")
    .uv_pip_install("fastapi", "flask")
)
app = modal.App("fastapi-hello", image=image)


@app.function()
@modal.fastapi_endpoint(docs=True)
def greet(name: str = "world"):
    return {"message": f"Hello, {name}!"}


@app.function()
@modal.fastapi_endpoint(method="POST")
def add(body: dict):
    return {"sum": body["a"] + body["b"]}
