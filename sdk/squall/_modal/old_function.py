"""What Functions were asked for in earlier versions of Modal, each with a warning."""

from typing import Any

from squall._modal.spellings import old_spelling


class OldSpellings:
    """Base of Function."""

    remote: Any
    get_web_url: Any
    update_autoscaler: Any

    @property
    def call(self) -> Any:
        """`remote`."""
        old_spelling("Function.call", "Function.remote")
        return self.remote

    @property
    def web_url(self) -> str | None:
        """`get_web_url()`."""
        old_spelling("Function.web_url", "Function.get_web_url()")
        url: str | None = self.get_web_url()
        return url

    def keep_warm(self, warm_pool_size: int) -> None:
        """`update_autoscaler(min_containers=…)`."""
        old_spelling("Function.keep_warm(n)", "Function.update_autoscaler(min_containers=n)")
        self.update_autoscaler(min_containers=warm_pool_size)
