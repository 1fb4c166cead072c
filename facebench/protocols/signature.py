"""The signature: everything that can change a number, as one short line that can be read back.

A signature is ``key:value`` fields joined by ``|``.  Two numbers may be compared when their signatures
differ in nothing but the method.
"""

from __future__ import annotations

from dataclasses import dataclass

from facebench.errors import UsageError

__all__ = ["Signature"]


@dataclass(frozen=True)
class Signature:
    """An ordered set of fields.

    Examples
    --------
    >>> signature = Signature({"protocol": "aflw2000/pose", "version": "1", "missing": "error"})
    >>> str(signature)
    'protocol:aflw2000/pose|version:1|missing:error'
    >>> Signature.parse(str(signature)) == signature
    True
    """

    fields: dict[str, str]

    def __post_init__(self) -> None:
        for key, value in self.fields.items():
            if not key or not value or set(":|") & set(key) or "|" in value:
                msg = f"Signature field '{key}:{value}': expected a key and a value without '|'."
                raise UsageError(msg)

    def __str__(self) -> str:
        return "|".join(f"{key}:{value}" for key, value in self.fields.items())

    def extended(self, **fields: str) -> Signature:
        """Return a signature with further fields."""
        return Signature({**self.fields, **fields})

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Read a signature back from its text, or raise :class:`UsageError`."""
        parts = [field.partition(":") for field in text.split("|")]
        fields = {key: value for key, _, value in parts}
        if len(fields) < len(parts):
            msg = f"Not a signature: a key occurs twice in '{text}'."
            raise UsageError(msg)
        return cls(fields)
