"""A request and its reply as they are usually served: FastAPI calls the function, itself or in a pool of processes.

`uvicorn calls_usual:app`.
"""

import asyncio
import hashlib
import os
from concurrent.futures import ProcessPoolExecutor

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
ROUNDS = int(os.environ.get("ROUNDS", "0"))
_pool = ProcessPoolExecutor(1) if "POOL" in os.environ else None


class Inquiry(BaseModel):
    """What is asked."""

    item: str
    quantity: int = 1


class Quote(BaseModel):
    """What is answered."""

    item: str
    quantity: int
    price: float


def price(item: str, quantity: int) -> float:
    """The function."""
    if ROUNDS:
        hashlib.pbkdf2_hmac("sha256", item.encode(), b"market", ROUNDS)
    return 0.12 * quantity


@app.post("/quotes", response_model=Quote)
async def quote(inquiry: Inquiry) -> Quote:
    """A price."""
    if _pool is None:
        found = price(inquiry.item, inquiry.quantity)
    else:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(_pool, price, inquiry.item, inquiry.quantity)
    return Quote(item=inquiry.item, quantity=inquiry.quantity, price=found)
