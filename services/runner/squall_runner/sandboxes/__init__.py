"""Sandboxes on this machine: how long they live, what is typed into them, when they are ready."""
