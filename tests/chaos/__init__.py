"""Several hosts on one machine, mixed load, seeded faults, and a checker of what was promised."""
