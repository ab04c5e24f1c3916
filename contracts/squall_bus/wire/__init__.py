"""The connection to a server: sockets, sign-in, reconnects, parsing; the only importer of nats."""
