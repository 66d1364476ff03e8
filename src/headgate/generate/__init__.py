"""Generating: a standalone ingestion server, written for given entities."""
