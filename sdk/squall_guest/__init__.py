"""The process inside a container: takes a function's inputs, runs them, sends the results.

User code has the main thread; NATS has a thread of its own (`link`). `boot` tells the story.
"""
