"""Commands: accepted, published to a stream exactly once where it matters, and followed until a device answers."""
