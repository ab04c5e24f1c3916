"""What `squall.image` is made of: steps that know their local files, and how those are read."""
