"""Scripts as people write them for Modal, run unchanged with `--modal`."""
