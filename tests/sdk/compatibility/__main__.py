"""`python -m tests.sdk.compatibility`: write docs/modal-compatibility.md anew."""

from .table import PAGE, page

PAGE.write_text(page())
