"""A class whose methods answer the web, with state from enter."""

import modal

image = (
    modal.Image.debian_slim(python_version="3.11")
    .apt_install("tree")
    .uv_pip_install("fastapi", "flask")
)
app = modal.App("web-class", image=image)


@app.cls(max_containers=1)
class Counter:
    @modal.enter()
    def begin(self):
        self.count = 40

    @modal.fastapi_endpoint()
    def bump(self, by: int = 1):
        self.count += by
        return {"count": self.count}

    @modal.method()
    def peek(self) -> int:
        return self.count
