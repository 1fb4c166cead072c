"""Named, versioned protocols, and scoring by them."""

from facebench.protocols.baselines import BASELINES, predict_baseline
from facebench.protocols.comparison import Compared, Comparison, compare
from facebench.protocols.explanation import Explanation, Reading, explain
from facebench.protocols.protocol import (
    ALL,
    BALANCED,
    LandmarkProtocol,
    PoseProtocol,
    Protocol,
    VisibilityProtocol,
)
from facebench.protocols.registry import get_protocol, protocols_of
from facebench.protocols.scoring import (
    Measured,
    Missing,
    Result,
    Score,
    answered_protocols,
    check_predictions,
    measure,
    score,
    summarise,
)
from facebench.protocols.signature import Signature

__all__ = [
    "ALL",
    "BALANCED",
    "BASELINES",
    "Compared",
    "Comparison",
    "Explanation",
    "LandmarkProtocol",
    "Measured",
    "Missing",
    "PoseProtocol",
    "Protocol",
    "Reading",
    "Result",
    "Score",
    "Signature",
    "VisibilityProtocol",
    "answered_protocols",
    "check_predictions",
    "compare",
    "explain",
    "get_protocol",
    "measure",
    "predict_baseline",
    "protocols_of",
    "score",
    "summarise",
]
