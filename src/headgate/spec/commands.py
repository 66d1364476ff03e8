"""Command types as written: what is allowed of one type of commands, and what it has by default."""

from typing import Annotated, Any

from pydantic import Field

from headgate.spec.values import Lower, Name, Names, PositiveDuration, Spec

Protocol = Annotated[Name, Lower]


class CommandDefaultsSpec(Spec):
    """What a command has when it does not say so itself."""

    parser_script_ref: Name | None = Field(None, description="The script that reads what the device answers.")
    metadata: dict[str, Any] | None = Field(None, description="Keys that are added when they are not there.")
    qos: int | None = Field(None, ge=0, le=2, description="The quality of service over MQTT.")
    retain: bool | None = Field(None, description="Whether an MQTT broker keeps it.")
    confirmable: bool | None = Field(None, description="Whether a CoAP device has to confirm it.")


class CommandTypeSpec(Spec):
    """One type of commands."""

    description: str = Field("", max_length=1000, description="What the documentation says of it.")
    payload: dict[str, Any] | None = Field(None, description="The JSON Schema of its payload.")
    protocols: Names | None = Field(None, description="The protocols that it goes over; default: all.")
    expires: PositiveDuration | None = Field(None, description="How long it is of use, when it does not say so itself.")
    defaults: dict[Protocol, CommandDefaultsSpec] = Field(
        default_factory=dict, description="What it has by default, by protocol."
    )
