"""Names that Modal has or once had at its top level: what they are here, or what is used instead."""

from typing import Final

RENAMED: Final = {"Stub": "App"}
"""Given under the old name with a warning."""
GONE: Final = {
    "build": "download what the image should hold with Image.run_function(…), and load it in an "
    "@enter() method",
    "NetworkFileSystem": "there are none here: use Volume.from_name(…)",
    "SharedVolume": "use Volume.from_name(…)",
    "create_package_mounts": "use Image.add_local_python_source(…)",
    "aio_lookup": "use Function.from_name(…)",
    "lookup": "use Function.from_name(…) or Cls.from_name(…)",
    "container_app": "what an app defines can be used in its functions directly",
    "sessioned": "requests of one client may go to any container: keep what it needs in a Dict",
    "billing": "Squall sends no bills",
    "Workspace": "who may do what is in `squall token` and `squall admin`",
    "SandboxSnapshot": "a sandbox's files are kept by snapshot_filesystem() and snapshot_directory()",
    "is_remote": "use not is_local()",
}
"""An AttributeError says what to use."""
