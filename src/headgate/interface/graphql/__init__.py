"""The graphql interface: one schema over streams, nodes and commands. Loaded by those who have one."""
