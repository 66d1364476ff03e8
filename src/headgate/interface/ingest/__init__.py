"""The `ingest` interface: messages of entities, over HTTP, into the database."""
