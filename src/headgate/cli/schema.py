"""`headgate schema`: the grammar of the file, for editors."""

import json


def command() -> None:
    """Print the JSON Schema of the configuration, so that editors complete and check it."""
    from headgate.spec.describe import json_schema

    print(json.dumps(json_schema(), indent=2))
