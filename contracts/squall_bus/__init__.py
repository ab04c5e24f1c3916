"""The wire: how everything in Squall talks. The only importer of nats; see connection and bus."""
