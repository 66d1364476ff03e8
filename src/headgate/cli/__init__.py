"""The command line. Each command is a room of its own; what is heavy is imported when it runs."""

from headgate.cli.main import main

__all__ = ["main"]
