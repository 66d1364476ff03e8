"""The pure core: messages, codecs and rings, without a loop, a socket or a framework."""
