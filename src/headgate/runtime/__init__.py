"""What runs between the transports and the web: streams, nodes and the tasks that carry them."""
