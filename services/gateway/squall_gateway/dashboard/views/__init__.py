"""What each page shows, made of what is known: no page reads the bus here."""
