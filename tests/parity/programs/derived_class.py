"""Extends a class of another module, whose source comes with the image."""

import squall
from base_class import Base

app = squall.App(
    "derived-class", image=squall.Image.debian_slim().add_local_python_source("base_class")
)


@app.cls()
class Derived(Base):  # type: ignore[misc]
    greeting = "good day"

    @squall.method()
    def shout(self, name: str) -> str:
        shouted: str = self.greet.local(name).upper()
        return shouted
