"""The ingress: web requests come in here, go to guests over the bus, and come back."""
