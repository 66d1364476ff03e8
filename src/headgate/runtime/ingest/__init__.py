"""Ingesting: what carries records into a store, in pages, in groups and from streams."""
