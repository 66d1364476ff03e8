"""Discovery: the nodes of modules that lie beside a configuration."""

import sys
import traceback
from collections.abc import Iterable, Sequence

from headgate.errors import HeadgateError, NodeError
from headgate.runtime.node import Declaration, discover


def discovered(folders: Iterable[object], modules: Sequence[str]) -> dict[str, Declaration]:
    """The nodes of these modules; the folders go on the import path. May raise a `NodeError`."""
    for folder in folders:
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    try:
        return discover(modules)
    except HeadgateError:
        raise
    except Exception as error:  # a user's module may do anything while it is imported
        raise NodeError(f"a module of runtime.discovery_modules cannot be imported: {_told(error)}") from error


def _told(error: Exception) -> str:
    """What an import failed of, and where."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {error.msg}"
    [*_, frame] = traceback.extract_tb(error.__traceback__)
    return f"{frame.filename}:{frame.lineno}: {type(error).__name__}: {error}"
