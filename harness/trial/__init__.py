"""One trial, from its task to its outcome: run, training loop, evaluation, artifacts, device.

``run.run(task, recorder, device)`` is the entry point; ``loop`` trains, ``evaluation`` computes the metrics.
``task`` has the types that others use (``Task``, ``Recorder``, ``Outcome``) and imports no torch.
Import the modules, not this package: it exports nothing.
"""
