"""Secrets on their way out of this process: values checked without being shown, then sealed."""
