"""What is compared: models, architectures (``networks``), tricks, classifiers and data sets, and their registry.

``registry`` finds plug-ins by name; each kind has its folder, with its base class in ``base``. ``capabilities`` and
``compatibility`` tell what fits together; ``objectives`` and ``penalties`` are losses as pure functions. It imports
only ``harness.base``. Authors of plug-ins import from ``harness.plugins``, the harness from the modules.
"""
