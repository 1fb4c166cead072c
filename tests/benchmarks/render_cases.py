"""Rendered faces: against the bare z-buffer of a head, in time of the processor, and in memory."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Iterator

import cv2
import numpy as np

from tests.benchmarks.measuring import Amount, Case

FACES, SIDE = 40, 256


def render_cases() -> Iterator[Case | Amount]:
    """Render faces of 256 x 256, against drawing the bare heads at the same fineness and a JPEG of each."""
    from facebench.synthetic import render_faces
    from facebench.synthetic.head_mesh import chart
    from facebench.synthetic.raster import ZBuffer
    from facebench.synthetic.scene import FINER

    head = np.ascontiguousarray(chart().vertices + np.array([0, 0, 600]), np.float32)
    image = next(render_faces(1, 0, SIDE)).image

    fine = math.ceil(FINER * SIDE)

    def floor() -> None:
        for _ in range(FACES):
            buffer = ZBuffer((fine, fine), (2 * fine, 2 * fine))
            buffer.draw(head, chart().triangles, np.zeros_like(head), closed=True)
            cv2.imencode(".jpg", image)

    def ours() -> list[object]:
        return list(render_faces(FACES, 1, SIDE))

    yield Case(
        f"render {FACES} faces of {SIDE} x {SIDE}", "z-buffer of the bare head, JPEG", ours, floor, aim=6
    )
    yield Amount(f"render a face of {SIDE} x {SIDE}", "ms of processor time", _processor_time, 1000 / 50)
    yield Amount("render 1000 faces, one after the other", "peak GB", _peak, 1)


def _processor_time() -> float:
    """Return what one face takes of one core: 20 ms are 50 faces a second and core."""
    from facebench.synthetic import render_faces

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # more of them wait for each other, and waiting counts as time of the processor
    list(render_faces(2, 0, SIDE))
    begin = time.process_time()
    list(render_faces(FACES, 1, SIDE))
    taken = time.process_time() - begin
    cv2.setNumThreads(threads)
    return 1000 * taken / FACES


def _peak() -> float:
    """Return the memory of a process of its own that renders faces and keeps none."""
    code = (
        "import resource\n"
        "from facebench.synthetic import render_faces\n"
        f"for face in render_faces(1000, 1, {SIDE}): pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return int(done.stdout) / 1e6
