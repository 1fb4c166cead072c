"""The signature: everything that can change a number, as one short line that can be read back.

A signature is ``key:value`` fields joined by ``|``.  Two numbers may be compared when their signatures
differ in nothing but the method.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from facebench.errors import UsageError

__all__ = ["Signature"]

# The short names of the fields; any other field keeps its name.
SHORT = {
    "protocol": "p",
    "version": "v",
    "faces": "f",
    "n": "n",
    "missing": "m",
    "truth": "t",
    "points": "k",
    "positive": "pos",
    "box": "b",
    "interval": "i",
    "facebench": "fb",
    "metric": "e",
    "group": "g",
}
LONG = {short: name for name, short in SHORT.items()}


@dataclass(frozen=True)
class Signature:
    """An ordered set of fields.

    Examples
    --------
    >>> signature = Signature({"protocol": "aflw2000/pose", "version": "1", "missing": "error"})
    >>> str(signature)
    'protocol:aflw2000/pose|version:1|missing:error'
    >>> signature.short
    'p:aflw2000/pose|v:1|m:error'
    >>> Signature.parse(str(signature)) == Signature.parse(signature.short) == signature
    True
    """

    fields: dict[str, str]

    def __post_init__(self) -> None:
        for key, value in self.fields.items():
            if not key or not value or set(":|") & set(key) or "|" in value:
                msg = f"Signature field '{key}:{value}': expected a key and a value without '|'."
                raise UsageError(msg)
            if LONG.get(key, key) != key:
                msg = f"Signature field '{key}:{value}': '{key}' is the short name of '{LONG[key]}'."
                raise UsageError(msg)

    def __str__(self) -> str:
        return "|".join(f"{key}:{value}" for key, value in self.fields.items())

    @property
    def short(self) -> str:
        """The same with short names of the fields, for a table or a caption."""
        return "|".join(f"{SHORT.get(key, key)}:{value}" for key, value in self.fields.items())

    def extended(self, **fields: str) -> Signature:
        """Return a signature with further fields."""
        return Signature({**self.fields, **fields})

    def differences(self, other: Signature, ignored: Iterable[str] = ()) -> list[str]:
        """Say in which fields two signatures differ, as ``n: 1969 and 2000``; nothing when they agree."""
        names = [name for name in {**self.fields, **other.fields} if name not in set(ignored)]
        pairs = [(name, self.fields.get(name, "absent"), other.fields.get(name, "absent")) for name in names]
        return [f"{name}: {mine} and {theirs}" for name, mine, theirs in pairs if mine != theirs]

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Read a signature back from its text, long or short, or raise :class:`UsageError`."""
        parts = [field.partition(":") for field in text.split("|")]
        fields = {LONG.get(key, key): value for key, _, value in parts}
        if len(fields) < len(parts):
            msg = f"Not a signature: a key occurs twice in '{text}'."
            raise UsageError(msg)
        return cls(fields)
