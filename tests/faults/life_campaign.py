"""Rows 15, 16 and 17: stalled subscribers, more than can be done, and an hour of ordinary life."""
