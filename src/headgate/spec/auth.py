"""Who may come in, as written."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema

from headgate.core.api_keys import BadKey, read_key, split_keys
from headgate.core.scopes import BadScope, read_scope
from headgate.spec.values import Duration, HeaderName, Name, Secret, Spec, TrustedUrl, expected

_SWITCH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _switch(value: object) -> bool | None:
    word = str(value).lower() if isinstance(value, bool | int | str) else ""
    if word not in _SWITCH and word not in ("auto", ""):
        raise expected("auto, true or false")
    return _SWITCH.get(word)


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


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


Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]


def _scope(text: str) -> str:
    try:
        read_scope(text)
    except BadScope as error:
        raise expected(f"scopes: {error}") from None
    return text


ScopeTexts = Annotated[
    list[Annotated[str, AfterValidator(_scope)]], BeforeValidator(_one_or_more, json_schema_input_type=str | list[str])
]


class BearerSpec(Spec):
    """Tokens (JWT) of an issuer, as OpenID Connect and OAuth have them. Needs `pip install 'headgate[jwt]'`."""

    issuer: TrustedUrl = Field(description="Who signs them: their `iss`, to the letter.")
    audience: Name = Field(description="Whom they are for: this service, in their `aud`.")
    jwks_url: TrustedUrl | None = Field(
        None, description="Where the issuer's keys are; default: where it says so itself."
    )
    algorithms: list[Algorithm] = Field(default=["RS256", "ES256"], min_length=1, description="How they may be signed.")
    scopes_claim: Name = Field("scope", description="What says what they are for: text with blanks, or a list.")
    name_claim: Name = Field("sub", description="What says who they speak for.")
    leeway: Duration = Field(30.0, description="How much clocks may differ.")


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
    bearer: BearerSpec | None = Field(None, description="Tokens of an issuer, beside keys or instead of them.")
    certificates: dict[Name, ScopeTexts] = Field(
        default_factory=dict,
        description="Clients that show a certificate of `service.tls.client_ca`: the names in it, and their scopes.",
    )
    ticket_secret: Secret | None = Field(
        None,
        repr=False,
        description="What signs tickets for browsers, the same for all replicas; default: made at the start.",
    )
    keys_file: Name | None = Field(
        None, description="A file of keys as `headgate keys` writes it; it is read again when it changes."
    )
