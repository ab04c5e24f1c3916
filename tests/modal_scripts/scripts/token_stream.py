"""Tokens as they come, from a plain and from an async generator."""

import asyncio

import modal

app = modal.App("token-stream")


@app.function()
def tokens(text: str):
    for word in text.split():
        yield word


@app.function()
async def countdown(start: int):
    for number in range(start, 0, -1):
        await asyncio.sleep(0.01)
        yield number


@app.local_entrypoint()
def main():
    for token in tokens.remote_gen("the quick brown fox"):
        print(token, end="|", flush=True)
    print()
    print("launch", list(countdown.remote_gen(3)))
