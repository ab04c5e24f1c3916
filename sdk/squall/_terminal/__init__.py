"""Talking to what runs in containers: shells, `interact()`, breakpoints, commands."""
