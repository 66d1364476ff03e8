"""The ways in and out for the web, and the one boundary that every request passes."""
