"""What a person sees of a running app: on a terminal, in a pipe, and what containers print."""
