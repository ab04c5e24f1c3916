"""What a type checker knows of functions: checked by test_typing, never run."""

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator
from typing import Any, assert_type

import squall
from squall.app import App
from squall.map import MapResults

app = App("typing")


@app.function()
def plain(x: int, *, y: str = "") -> float:
    return float(x)


@app.function(cpu=2.0, gpu="A100:2", memory=(512, 1024), retries=3)
async def coroutine(x: int) -> str:
    return str(x)


@app.function()
def generator(n: int) -> Generator[bytes, None, None]:
    yield b""


@app.function()
def iterator(n: int) -> Iterator[int]:
    yield 1


@app.function()
async def async_generator(n: int) -> AsyncGenerator[float, None]:
    yield 1.0


@app.cls(max_containers=3)
@squall.concurrent(max_inputs=4)
class Model:
    size: int = squall.parameter(default=1)

    @squall.enter()
    def load(self) -> None:
        self.weights = [0.5]

    @squall.method()
    def scale(self, x: int, *, y: str = "") -> float:
        return x * self.weights[0]

    @squall.method()
    async def later(self, x: int) -> str:
        return str(await self.scale.remote.aio(x))

    @squall.method()
    def parts(self, n: int) -> Iterator[bytes]:
        yield b""


@app.function()
@squall.batched(max_batch_size=4, wait_ms=10)
def batch(x: list[int]) -> list[str]:
    return [str(each) for each in x]


@app.function()
@squall.batched(max_batch_size=4, wait_ms=10)
async def async_batch(x: list[int]) -> list[bytes]:
    return [b"" for _ in x]


@app.local_entrypoint()
def main(name: str = "x") -> int:
    return 1


assert_type(plain.remote(1, y="a"), float)
assert_type(plain.local(1), float)
assert_type(plain(1), float)
assert_type(plain.spawn(1), squall.FunctionCall[float])
assert_type(plain.spawn(1).get(timeout=3), float)
assert_type(plain.map([1, 2]), MapResults[float])
assert_type(list(plain.map([1, 2])), list[float])
assert_type(list(plain.starmap([(1,)])), list[float])
assert_type(squall.gather(plain.spawn(1), plain.spawn(2)), list[float])
assert_type(squall.wait_first(plain.spawn(1)), squall.FunctionCall[float])
assert_type(plain.for_each([1]), None)
assert_type(coroutine.remote(1), str)
coroutine_of_it: Coroutine[Any, Any, str] = coroutine.local(1)
assert_type(generator.remote_gen(1), Iterator[bytes])
assert_type(generator.local(1), Generator[bytes, None, None])
assert_type(iterator.remote_gen(1), Iterator[int])
assert_type(async_generator.remote_gen.aio(1), AsyncIterator[float])
assert_type(list(generator.spawn(1).stream()), list[bytes])
assert_type(main(name="y"), int)
assert_type(Model().scale.remote(1, y="a"), float)
assert_type(Model().scale.local(1), float)
assert_type(list(Model().scale.map([1])), list[float])
assert_type(Model().later.remote(1), str)
assert_type(Model().parts.remote_gen(1), Iterator[bytes])
assert_type(Model().size, int)
assert_type(Model().load(), None)
assert_type(batch.remote(1), str)
assert_type(plain.with_options(cpu=2).with_concurrency(max_inputs=3).remote(1), float)
assert_type(App.lookup("some"), App)
assert_type(squall.Cls.from_name("a", "B").with_options(cpu=1), squall.Cls)
assert_type(async_batch.remote(1), bytes)


async def in_a_loop() -> None:
    assert_type(await plain.remote.aio(1, y="a"), float)
    assert_type(await coroutine.remote.aio(1), str)
    assert_type(await plain.spawn.aio(1), squall.FunctionCall[float])
    assert_type(await plain.spawn(1).get.aio(), float)
    assert_type([x async for x in plain.map.aio([1])], list[float])
    assert_type(await squall.gather.aio(plain.spawn(1)), list[float])
    async with app.run() as running:
        assert_type(running, App)
    assert_type(await app.deploy.aio(), App)
    await app.stop.aio()


with app.run(detach=True, name="other") as running:
    assert_type(running, App)
