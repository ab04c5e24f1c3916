"""What serving raises besides Squall's own errors."""

from squall.exception import Error, InvalidError


class SettingsError(InvalidError):
    """The settings of a service are missing, misspelt or of the wrong type; it names where."""


class AuthConfigError(SettingsError):
    """The routes are meant to be protected, and what would protect them is missing."""


class DependencyError(Error, ImportError):
    """A package that a chosen feature needs is not installed; it names the extra that brings it."""


class TypeValidationError(Error, TypeError):
    """A pipeline returned something else than one InferenceOutputModel for each input."""


class BackendError(Error, ValueError):
    """A queue backend is unknown, set up wrongly, or did not take a message."""
