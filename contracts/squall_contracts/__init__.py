"""The words of Squall: every message and every name on the bus. Imports msgspec only."""
