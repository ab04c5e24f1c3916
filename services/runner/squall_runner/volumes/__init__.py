"""Volumes on a runner: cached trees, one view of them for each container, commits of what changed."""
