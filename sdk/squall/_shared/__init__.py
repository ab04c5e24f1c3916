"""What Dict and Queue are made of: the handle, and the entries and items behind it."""
