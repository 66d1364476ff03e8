"""Who may come in, as written."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema

from headgate.core.api_keys import BadKey, read_key, split_keys
from headgate.spec.values import HeaderName, Name, Spec, expected

_SWITCH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _switch(value: object) -> bool | None:
    word = str(value).lower() if isinstance(value, bool | int | str) else ""
    if word not in _SWITCH and word not in ("auto", ""):
        raise expected("auto, true or false")
    return _SWITCH.get(word)


def _split(value: Any) -> Any:
    return split_keys(value) if isinstance(value, str) else value


def _sound(key: str) -> str:
    try:
        read_key(key, "")
    except BadKey as error:
        raise expected(f"a key: it {error}", hidden=True) from None
    return key


Switch = Annotated[bool | None, PlainValidator(_switch), WithJsonSchema({"enum": ["auto", True, False]})]
KeyText = Annotated[str, AfterValidator(_sound)]
KeyTexts = Annotated[list[KeyText], BeforeValidator(_split, json_schema_input_type=str | list[str])]


class AuthSpec(Spec):
    """Who may come in. Without keys nobody is asked, and only this machine can reach the service."""

    enabled: Switch = Field(
        "auto", validate_default=True, description="Whether clients are asked who they are; auto: when there are keys."
    )
    header: HeaderName = Field("X-API-Key", description="The header that brings a key.")
    keys: KeyTexts = Field(
        default_factory=list,
        max_length=1000,
        repr=False,
        description="The keys, or their hashes (`sha256:...`), as a list or a text with commas: `${API_KEYS:-}`.",
    )
    keys_file: Name | None = Field(
        None, description="A file of keys as `headgate keys` writes it; it is read again when it changes."
    )
