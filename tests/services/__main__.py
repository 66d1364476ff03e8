"""`python -m tests.services`: get what the real services need, and say which they will be."""

import os
import sys

from tests.services.browsers import browser, node_scripts
from tests.services.daemon import Unavailable
from tests.services.kafka import find
from tests.services.postgres import PostgresCluster


def main() -> int:
    print("==> Services: which ones there are (the first time, Kafka's jars are fetched)", flush=True)
    try:
        kind, engine = find(os.environ, {})
        engine.close()
        cluster = PostgresCluster()
        cluster.close()
        browser()
        node_scripts()
    except Unavailable as reason:
        print(reason, file=sys.stderr)
        return 1
    print(f"==> Services: Kafka by way of {kind}, PostgreSQL: {cluster.kind}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
