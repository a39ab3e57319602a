"""What is trained: data sets, architectures, classifiers, tricks and models, and how they are found and put together.

Imports only ``harness.base``. Authors of plug-ins take their base classes from ``harness.plugins``.
"""
