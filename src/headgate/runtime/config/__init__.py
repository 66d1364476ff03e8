"""The config channel: settings that are read live, and the stream that brings them."""
