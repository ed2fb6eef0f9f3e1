"""The steps of Kalshi's quick-start guide for a first order, by `requests` and `cryptography` alone.

    python quickstart_guide.py BASE_URL KEY_ID PRIVATE_KEY_PATH

The guide was written for the V1 order endpoints, so the exchange must be one that still has them (a sandbox with
--v1-compat). Prints one line of JSON per step and ends with 0 if every answer was the one the guide promises.
"""

import base64
import json
import sys
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding


class Account:
    """A key, and requests signed with it."""

    def __init__(self, base_url: str, key_id: str, private_key_path: str) -> None:
        self.base_url = base_url
        self.key_id = key_id
        self.key: Any = serialization.load_pem_private_key(Path(private_key_path).read_bytes(), password=None)

    def ask(self, method: str, path: str, body: object = None, *, clock_off_s: int = 0) -> requests.Response:
        """Send one signed request. The signature covers time, method and path without the query."""
        stamp = str(int((time.time() + clock_off_s) * 1000))
        url = self.base_url + path
        text = stamp + method + urlsplit(url).path
        salt = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
        signature = self.key.sign(text.encode(), salt, hashes.SHA256())
        headers = {
            "KALSHI-ACCESS-KEY": self.key_id,
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
            "KALSHI-ACCESS-TIMESTAMP": stamp,
        }
        return requests.request(method, url, headers=headers, json=body, timeout=10)


def step(name: str, answer: requests.Response, status: int) -> Any:
    """Report a step and hold it to the status the guide names."""
    print(json.dumps({"step": name, "status": answer.status_code, "body": answer.text[:200]}))
    assert answer.status_code == status, f"{name}: {answer.status_code} {answer.text}"
    return answer.json()


def main() -> None:
    """Find a market, place, meet the duplicate check, read, list, amend, cancel; then provoke each kind of refusal."""
    account = Account(*sys.argv[1:4])
    found = requests.get(f"{account.base_url}/markets?limit=1&status=open", timeout=10)
    market = step("find an open market", found, 200)["markets"][0]

    order = {
        "ticker": market["ticker"],
        "action": "buy",
        "side": "yes",
        "count": 1,
        "type": "limit",
        "yes_price": 1,
        "client_order_id": str(uuid.uuid4()),
    }
    placed = step("place an order", account.ask("POST", "/portfolio/orders", order), 201)["order"]
    assert placed["status"] == "resting"
    step("place it again", account.ask("POST", "/portfolio/orders", order), 409)

    order_id = placed["order_id"]
    assert step("read it", account.ask("GET", f"/portfolio/orders/{order_id}"), 200)["order"]["order_id"] == order_id
    listed = step("list what rests", account.ask("GET", "/portfolio/orders?status=resting"), 200)["orders"]
    assert order["client_order_id"] in [row["client_order_id"] for row in listed]
    amend = {"ticker": order["ticker"], "action": "buy", "side": "yes", "yes_price": 2, "count": 3}
    amended = step("amend it", account.ask("PUT", f"/portfolio/orders/{order_id}", amend), 200)["order"]
    assert (amended["yes_price_dollars"], amended["remaining_count_fp"]) == ("0.0200", "3.00")
    canceled = step("cancel it", account.ask("DELETE", f"/portfolio/orders/{order_id}"), 200)
    assert canceled["order"]["status"] == "canceled"

    step("sign with a wrong clock", account.ask("GET", "/portfolio/orders", clock_off_s=-300), 401)
    bad = {**order, "client_order_id": str(uuid.uuid4()), "yes_price": 100}
    step("ask for an impossible price", account.ask("POST", "/portfolio/orders", bad), 400)
    for _ in range(500):
        hurried = account.ask("GET", "/portfolio/balance")
        if hurried.status_code != 200:
            break
    step("ask too often", hurried, 429)


if __name__ == "__main__":
    main()
