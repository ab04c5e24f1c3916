"""How Volumes were looked up in earlier versions of Modal, each way with a warning."""

from typing import TYPE_CHECKING, Any

from squall._modal.spellings import old_spelling

if TYPE_CHECKING:
    from squall.volume import Volume


class OldLookUps:
    """Base of Volume."""

    from_name: Any

    @classmethod
    def lookup(
        cls,
        name: str,
        *,
        environment_name: str | None = None,
        create_if_missing: bool = False,
        client: object = None,
    ) -> "Volume":
        """`from_name`, looked up at once. NotFoundError."""
        old_spelling("Volume.lookup", "Volume.from_name")
        found: Volume = cls.from_name(
            name, environment_name=environment_name, create_if_missing=create_if_missing
        )
        return found.hydrate()

    @classmethod
    def persisted(cls, name: str, environment_name: str | None = None) -> "Volume":
        """`from_name(…, create_if_missing=True)`."""
        old_spelling("Volume.persisted", "Volume.from_name(…, create_if_missing=True)")
        found: Volume = cls.from_name(
            name, environment_name=environment_name, create_if_missing=True
        )
        return found
