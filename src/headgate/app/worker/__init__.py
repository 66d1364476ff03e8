"""A worker's process: runs portions of nodes for a gate that started it."""
