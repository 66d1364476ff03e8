"""The gate alive: what turns a plan into streams, nodes and routes, and serves them."""
