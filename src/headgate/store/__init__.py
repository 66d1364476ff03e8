"""Stores: the databases that records go into. One contract, and one suite that every store passes."""
