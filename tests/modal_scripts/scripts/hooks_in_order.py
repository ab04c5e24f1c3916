"""Hooks of a class and of the one it extends, and a generator method."""

import modal

app = modal.App("hooks-in-order")


class Base:
    @modal.enter()
    def first(self):
        self.order = ["base"]


@app.cls()
class Derived(Base):
    @modal.enter()
    async def second(self):
        self.order.append("derived")

    @modal.method()
    def story(self):
        yield from self.order

    @modal.method()
    async def length(self) -> int:
        return len(self.order)


@app.local_entrypoint()
def main():
    print("story", list(Derived().story.remote_gen()))
    print("length", Derived().length.remote())
