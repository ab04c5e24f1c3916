"""The dashboard: what a workspace's people see of it in a browser, and the little they can do there."""
