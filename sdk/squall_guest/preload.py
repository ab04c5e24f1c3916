"""Imports what nearly every container will, for the process that containers are forked from.

None of these modules may start a thread, open a file or read the environment when it is imported.
"""

import encodings.idna  # noqa: F401 - for host names

import squall._apps.looking_up
import squall.app
import squall.cls
import squall.image
import squall.secret
import squall.volume  # noqa: F401

import squall_guest.boot  # noqa: F401
