"""Who may do what: keys, JWTs, accounts, sealed values, and the way from a token to credentials."""
