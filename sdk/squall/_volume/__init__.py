"""What `squall.Volume` is made of."""
