"""What `squall init serving` writes: a service that works as it is."""
