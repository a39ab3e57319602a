"""The judges: pretrained classifiers that say what samples show.

``catalogue`` knows which there are (no torch); ``loading`` brings one to a device; ``judge`` and ``stacked`` are one;
``training`` and ``labelled`` make one. What other packages need is listed here.
"""

from harness.judge.catalogue import digest, image_shape, misfit, missing, names, of
from harness.judge.loading import load, load_for

__all__ = ["digest", "image_shape", "load", "load_for", "misfit", "missing", "names", "of"]
