"""The `squall` command. Nothing here is imported by the SDK."""
