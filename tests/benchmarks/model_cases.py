"""The reference model: against a plain matrix product of as many operations, and from file to answer."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from tests.benchmarks.measuring import Amount, Case

MODEL = "mnn-s"
FACES = 256  # of the prediction from files
WIDTH = 512  # of the matrices


def model_cases() -> Iterator[Case | Amount]:
    """One batch through the network, then faces of a prepared file into a predictions file."""
    import torch

    import facebench
    from facebench.datasets import prepare
    from facebench.mnn.prediction import Predictor, predict_dataset
    from facebench.mnn.weights import find_model, load_weights

    predictor = Predictor(load_weights(find_model(MODEL)[0]))
    size = predictor.architecture.size
    for batch in (1, 64):
        images = torch.rand(batch, 3, size, size).to(memory_format=torch.channels_last)
        operations = operations_of(lambda images=images: predictor.network(images))
        yield Case(
            f"{MODEL}, {batch} face{'s' * (batch > 1)}, {operations / 1e9:.2f} G operations",
            "a matrix product of as many",
            lambda images=images: answer(predictor, images),
            product(operations),
            aim=2,
        )
    with tempfile.TemporaryDirectory() as folder:
        path, target = Path(folder) / "faces.h5", Path(folder) / "p.h5"
        dataset = facebench.open_dataset(prepare("rendered", [], path, faces=FACES, seed=1).path)
        encoded = [np.array(dataset.encoded_image(row)) for row in range(FACES)]
        about = {"method": MODEL, "training_data": "none"}
        yield Case(
            f"predict {FACES} faces of 256 x 256, from file to file",
            "cv2.imdecode and the network alone",
            lambda: predict_dataset(predictor, dataset, target, **about),
            lambda: (
                [cv2.imdecode(data, cv2.IMREAD_COLOR) for data in encoded],
                [answer(predictor, images) for _ in range(FACES // 64)],
            ),
            aim=1.2,
            pairs=3,
        )
        yield Amount(f"predict {FACES} faces, 64 at once", "peak GB", lambda: peak(path), 1.5)


def answer(predictor: object, images: object) -> object:
    import torch

    with torch.inference_mode():
        return predictor.network(images)


def operations_of(call: Callable[[], object]) -> int:
    """Return the floating-point operations of a call: two for each product that is added."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def product(operations: int) -> Callable[[], object]:
    """Return a matrix product with that many operations."""
    import torch

    rows = max(1, round(operations / (2 * WIDTH * WIDTH)))
    a, b = torch.rand(rows, WIDTH), torch.rand(WIDTH, WIDTH)
    return lambda: a @ b


def peak(path: Path) -> float:
    """Return the memory of a process of its own that predicts and does nothing else."""
    code = (
        "import resource, sys\n"
        "from facebench.cli import main\n"
        "try:\n"
        f"    main(['predict', 'rendered', '--model', {MODEL!r}, '--data', {str(path)!r}, "
        f"'-o', {str(path.with_name('q.h5'))!r}])\n"
        "except SystemExit: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return int(done.stdout.splitlines()[-1]) / 1e6
