"""A web front for slow work: submit gives an id, result is asked for until it is there."""

import modal

image = (
    modal.Image.debian_slim(python_version="3.11")
    .apt_install("tree")
    .uv_pip_install("fastapi", "flask")
)
app = modal.App("asgi-jobs", image=image)


@app.function()
def shout(text: str) -> str:
    return text.upper() + "!"


@app.function()
@modal.concurrent(max_inputs=20)
@modal.asgi_app()
def web():
    from fastapi import FastAPI
    from fastapi.responses import JSONResponse

    front = FastAPI()

    @front.post("/submit")
    async def submit(text: str):
        call = await shout.spawn.aio(text)
        return {"id": call.object_id}

    @front.get("/result/{call_id}")
    async def result(call_id: str):
        call = modal.FunctionCall.from_id(call_id)
        try:
            return {"result": await call.get.aio(timeout=0)}
        except TimeoutError:
            return JSONResponse({}, status_code=202)

    return front
