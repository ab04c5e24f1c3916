"""The disk containers fill outside their volumes."""
