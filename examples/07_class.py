"""A class loads what it needs once in each container, and then answers many calls.

squall run examples/07_class.py
"""

import squall

app = squall.App("class")


@app.cls(max_containers=1, enable_memory_snapshot=True)
class Words:
    ending: str = squall.parameter(default="s")  # each ending has containers of its own

    @squall.enter(snap=True)  # once ready, the next container is kept waiting behind this point
    def load(self) -> None:
        print(f"loading words that end in {self.ending}")
        self.words = [word for word in ("cat", "cats", "dogs") if word.endswith(self.ending)]
        self.inputs = 0

    @squall.method()
    def all(self) -> list[str]:
        self.inputs += 1
        return self.words

    @squall.method()
    def answered(self) -> int:
        return self.inputs

    @squall.exit()
    def leave(self) -> None:
        print(f"left after {self.inputs} inputs")


@app.local_entrypoint()
def main() -> None:
    plural = Words()
    both = plural.all.remote(), plural.all.remote()
    print(f"{both[0]}, loaded once: {plural.answered.remote() == 2}")
    print(f"{Words(ending='t').all.remote()} by a container of its own")  # type: ignore[call-arg]
