"""How the exchange says no: the four body shapes recorded from Kalshi, and one exception for all of them.

a  {"error":{"code","message","details"?}}   authentication, orders, the engine
b  {"code","message","details"?}             JSON that does not parse or has a wrong type
c  {"msg":"Parameter validation failed..."}  query parameters
d  {"error":"too many requests"}             429
"""

from typing import Any


class Refusal(Exception):
    """The exchange said no: nothing was done, but for a client_order_id that a killed FOK consumes."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        super().__init__(status, document)
        self.status = status
        self.document = document

    @property
    def code(self) -> str:
        """The machine-readable code, wherever the shape keeps it."""
        error = self.document.get("error", self.document)
        return str(error.get("code", "")) if isinstance(error, dict) else str(error)

    def item(self) -> dict[str, str]:
        """The same refusal as the error of one batch item (there `details` is always present)."""
        error = self.document.get("error", self.document)
        if not isinstance(error, dict):
            return {"code": str(error), "message": str(error), "details": ""}
        return {"code": error["code"], "message": error["message"], "details": error.get("details", "")}


def refuse(status: int, code: str, message: str | None = None, details: str | None = None) -> Refusal:
    """Shape a. Without a message, the code in plain words, as Kalshi does."""
    error = {"code": code, "message": code.replace("_", " ") if message is None else message}
    if details is not None:
        error["details"] = details
    return Refusal(status, {"error": error})


def malformed(details: str) -> Refusal:
    """Shape b: the body could not be read."""
    return Refusal(400, {"code": "bad_request", "message": "bad request", "details": details})


def wrong_type(found: str, record: str, field: str, wanted: str) -> Refusal:
    """Shape b with the words of the exchange's own decoder."""
    return malformed(f"json: cannot unmarshal {found} into Go struct field {record}.{field} of type {wanted}")


def bad_query(operation: str, field: str, rule: str) -> Refusal:
    """Shape c: a query parameter outside its range."""
    key = f"Key: '{operation}Params.{field}' Error:Field validation for '{field}' failed on the '{rule}' tag"
    return Refusal(400, {"msg": f"Parameter validation failed for {operation}: {key}"})


def too_many_requests() -> Refusal:
    """Shape d: no token left; no header says when to come back."""
    return Refusal(429, {"error": "too many requests"})


def not_found() -> Refusal:
    """404, the same bytes for canceled, executed and never seen."""
    return refuse(404, "not_found", "not found")


def already_exists() -> Refusal:
    """409 for a client_order_id already used; it names no order."""
    return refuse(409, "order_already_exists", "order already exists")
