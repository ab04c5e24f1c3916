"""A person's script that talks to a shell in a sandbox: its id is the only argument."""

import sys

import squall

process = squall.Sandbox.from_id(sys.argv[1]).exec("sh", pty=True)
process.attach()
print("left with", process.wait())
