"""What Modal's own tests check, line by line, through Squall's public API."""
