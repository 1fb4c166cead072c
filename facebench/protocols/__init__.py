"""Named, versioned protocols, and scoring by them."""

from facebench.protocols.baselines import BASELINES, predict_baseline
from facebench.protocols.protocol import (
    ALL,
    BALANCED,
    LandmarkProtocol,
    Metric,
    PoseProtocol,
    Protocol,
)
from facebench.protocols.registry import get_protocol, protocols_of
from facebench.protocols.scoring import (
    Missing,
    Result,
    Score,
    answered_protocols,
    check_predictions,
    score,
)
from facebench.protocols.signature import Signature

__all__ = [
    "ALL",
    "BALANCED",
    "BASELINES",
    "LandmarkProtocol",
    "Metric",
    "Missing",
    "PoseProtocol",
    "Protocol",
    "Result",
    "Score",
    "Signature",
    "answered_protocols",
    "check_predictions",
    "get_protocol",
    "predict_baseline",
    "protocols_of",
    "score",
]
