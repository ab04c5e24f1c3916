"""Web endpoints in the container: requests become calls of an ASGI app, and of what others are made of."""
