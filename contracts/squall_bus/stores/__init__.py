"""Buckets, tables and objects kept in streams."""
