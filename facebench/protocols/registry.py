"""Which protocols there are: the built-in ones, and those of installed packages.

A package adds protocols by an entry point in the group ``facebench.protocols`` whose value is a sequence
of protocols.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from facebench.errors import UsageError
from facebench.protocols.protocol import Protocol

__all__ = ["get_protocol", "protocols_of"]

BUILT_IN = ("aflw2000", "w300", "cofw", "aflw", "biwi", "rendered")


@cache
def _all() -> dict[str, Protocol]:
    groups = [import_module(f"facebench.protocols.{name}").PROTOCOLS for name in BUILT_IN]
    groups += [_of_package(point) for point in entry_points(group="facebench.protocols")]
    found: dict[str, Protocol] = {}
    for protocol in (protocol for group in groups for protocol in group):
        found.setdefault(protocol.name, protocol)
    return found


def _of_package(point: EntryPoint) -> Sequence[Protocol]:
    """Return the protocols of a package; a broken one has none, and is warned of."""
    try:
        found = tuple(point.load())
        if other := [one for one in found if not isinstance(one, Protocol)]:
            msg = f"expected a sequence of protocols, found {other[0]!r} in it"
            raise TypeError(msg)
    except Exception as error:
        package = f"the package that brings them ({point.value}) cannot be loaded"
        warnings.warn(f"protocols '{point.name}': {package}: {error}", stacklevel=2)
        return ()
    return found


def protocols_of(dataset: str) -> list[Protocol]:
    """Return the protocols of a dataset, in the order in which they are reported."""
    return [protocol for protocol in _all().values() if protocol.dataset == dataset]


def get_protocol(name: str) -> Protocol:
    """Return a protocol by name, or raise :class:`UsageError` listing the known ones."""
    if name not in _all():
        msg = f"Unknown protocol '{name}'. Known protocols: {', '.join(sorted(_all()))}."
        raise UsageError(msg)
    return _all()[name]
