"""Literals: text of others as Python source, which says the same whatever is in it."""


def literal(text: str) -> str:
    """A text as a literal, in the quotes that a formatter would choose."""
    made = repr(text)
    if made.startswith("'") and '"' not in made:
        return f'"{made[1:-1]}"'
    return made


def literal_tuple(items: tuple[object, ...]) -> str:
    """A tuple as a literal, on one line."""
    inner = ", ".join(literal(item) if isinstance(item, str) else repr(item) for item in items)
    return f"({inner},)" if len(items) == 1 else f"({inner})"


def raw_literal(text: str) -> str:
    """A text with backslashes as a raw literal, where there is one."""
    is_plain = text.isprintable() and '"' not in text and not text.endswith("\\")
    return f'r"{text}"' if is_plain and "\\" in text else literal(text)
