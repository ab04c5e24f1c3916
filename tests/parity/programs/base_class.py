"""A class that one of another module extends."""

import squall


class Base:
    greeting = "hello"

    @squall.enter()
    def begin(self) -> None:
        self.began = True

    @squall.method()
    def greet(self, name: str) -> str:
        return f"{self.greeting} {name} {self.began}"
