"""Entities as written: files of record layouts, in either dialect, become the entities of a plan."""
