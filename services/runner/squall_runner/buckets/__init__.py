"""Buckets of containers: mounted on the machine by rclone, bound into the container."""
