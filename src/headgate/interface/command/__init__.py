"""The command interface: commands for devices come in, and what became of them is told."""
