"""What a type checker must refuse: each marked line is one error. Checked by test_typing."""

import squall
from squall.app import App

app = App("typing")


@app.function()
def plain(x: int, *, y: str = "") -> float:
    return float(x)


@app.function()
async def coroutine(x: int) -> str:
    return str(x)


plain.remote("a")  # error
plain.remote(1, z=2)  # error
plain.remote()  # error
plain.spawn("a")  # error
plain.local("a")  # error
plain("a")  # error
number: int = plain.remote(1)  # error
text: str = plain.spawn(1).get()  # error
words: list[str] = list(plain.map([1]))  # error
coroutine.remote(b"")  # error
app.function(cpu="two")  # error
app.function(memory="big")  # error
app.function(timeout=None)  # error
squall.gather(1)  # error
squall.FunctionCall.from_id(3)  # error
squall.Retries(1)  # error
app.run(name=3)  # error


async def in_a_loop() -> None:
    await plain.remote.aio("a")  # error
    await plain.spawn.aio()  # error
    other: int = await plain.remote.aio(1)  # error
    print(other)


@app.cls()
class Model:
    @squall.method()
    def scale(self, x: int) -> float:
        return x / 2


Model().scale.remote("a")  # error
Model().scale.remote()  # error
Model().scale("a")  # error
named: str = Model().scale.remote(1)  # error
squall.batched(max_batch_size=2)  # error
squall.concurrent()  # error
