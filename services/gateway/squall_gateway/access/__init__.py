"""Who may come in: workspaces and their accounts, members, tokens, credentials for both."""
