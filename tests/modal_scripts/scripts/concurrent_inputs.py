"""Many inputs in one container: async ones as tasks."""

import asyncio

import modal

app = modal.App("concurrent-inputs")


@app.cls(max_containers=1)
@modal.concurrent(max_inputs=10, target_inputs=8)
class Waiter:
    @modal.enter()
    async def begin(self):
        self.inside = 0
        self.most = 0
        self.all_here = asyncio.Event()

    @modal.method()
    async def wait(self, number: int) -> int:
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside == 5:
            self.all_here.set()
        await self.all_here.wait()
        return self.most


@app.local_entrypoint()
def main():
    print("together", max(Waiter().wait.map(range(5))) >= 5)
