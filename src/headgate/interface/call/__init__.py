"""The http interface: a request goes to nodes, and what they make of it is the response."""
