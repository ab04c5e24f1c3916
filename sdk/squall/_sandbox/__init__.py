"""What Sandbox is made of."""
