"""Memory snapshots asked for as scripts do: snap=True first, then the rest."""

import modal

app = modal.App("snapshot-class")


@app.cls(enable_memory_snapshot=True)
class Embedder:
    @modal.enter(snap=True)
    def load(self):
        self.steps = ["weights"]

    @modal.enter()
    def to_device(self):
        self.steps.append("device")

    @modal.method()
    def embed(self, text: str) -> list[str]:
        return [*self.steps, text]


@app.local_entrypoint()
def main():
    print("steps", Embedder().embed.remote("hello"))
