"""The judges: pretrained classifiers that tell what samples show.

``catalogue`` lists the judges (no torch), ``loading`` loads one onto a device, ``judge`` and ``stacked`` are the loaded
judges, ``training`` and ``labelled`` train one, ``inception`` and ``points`` are other extractors of features.
Other packages import the functions of ``__all__`` from here.
"""

from harness.judge.catalogue import digest, image_shape, misfit, missing, names, of
from harness.judge.loading import load, load_for

__all__ = ["digest", "image_shape", "load", "load_for", "misfit", "missing", "names", "of"]
