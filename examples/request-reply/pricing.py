"""A price for a quantity of an item: some honest arithmetic, and enough of it to keep a processor busy for a moment."""

import hashlib

import msgspec

from headgate import Refusal, node

PRICES = {"bolt": 0.12, "nut": 0.07, "washer": 0.02, "bracket": 1.4, "motor": 89.0}
ROUNDS = 8_000  # about ten milliseconds


class Inquiry(msgspec.Struct):
    item: str
    quantity: int = 1


class Quote(msgspec.Struct):
    item: str
    quantity: int
    price: float


@node(input="quotes_in", output="quotes_out", stage="pricing")
def quote(inquiry: Inquiry) -> Quote:
    if inquiry.item not in PRICES:
        raise Refusal(f"there is no item {inquiry.item[:80]!r}", status=404, type="unknown_item")
    if not 1 <= inquiry.quantity <= 1_000_000:
        raise Refusal("the quantity must be from 1 to 1,000,000", type="impossible_quantity")
    hashlib.pbkdf2_hmac("sha256", inquiry.item.encode(), b"market", ROUNDS)  # the market is consulted
    discount = 0.8 if inquiry.quantity >= 1000 else 0.9 if inquiry.quantity >= 100 else 1.0
    return Quote(inquiry.item, inquiry.quantity, round(PRICES[inquiry.item] * inquiry.quantity * discount, 2))
