"""Real services for tests, benches and campaigns: Kafka and PostgreSQL, started here, gone afterwards."""
