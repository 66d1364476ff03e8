"""The configuration: YAML text becomes a checked specification, and that a frozen plan."""
