"""What a client accepts: its `Accept` and `Accept-Encoding` headers."""


def preferred(accept: str) -> list[str]:
    """What a client accepts, the dearest first; a named type goes before a wildcard as dear."""
    ranked = []
    for part in accept.split(","):
        media, *rest = (word.strip().lower() for word in part.split(";"))
        quality = next((_quality(word[2:]) for word in rest if word.startswith("q=")), 1.0)
        ranked.append((-quality, "*" in media, media))
    return [media for quality, _, media in sorted(ranked, key=lambda rank: rank[:2]) if quality < 0]


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def wants_gzip(accept_encoding: str | None) -> bool:
    """Whether a client takes gzip."""
    return "gzip" in preferred(accept_encoding or "")
