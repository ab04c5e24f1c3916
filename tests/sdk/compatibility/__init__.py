"""Modal's public names, and what Squall has of each."""
