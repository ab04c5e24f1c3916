"""What Functions were asked for in earlier versions of Modal, each with a warning."""

from typing import TYPE_CHECKING, Any

from squall._modal.spellings import old_spelling

if TYPE_CHECKING:
    from squall.function import Function


class OldSpellings:
    """Base of Function."""

    from_name: Any
    remote: Any
    get_web_url: Any
    update_autoscaler: Any

    @classmethod
    def lookup(
        cls,
        app_name: str,
        name: str,
        *,
        environment_name: str | None = None,
        client: object = None,
    ) -> "Function[..., Any, Any]":
        """`from_name`."""
        old_spelling("Function.lookup", "Function.from_name")
        found: Function[..., Any, Any] = cls.from_name(
            app_name, name, environment_name=environment_name
        )
        return found

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
