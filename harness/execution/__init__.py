"""Runs the trials of a plan: driver, queues (Optuna), engines, workers, devices.

``driver.Driver`` owns the stores and submits trials; ``study`` has the queues, and is the only importer of optuna.
``engine.Engine`` is the interface of engines, ``engines`` has those that are built in; ``worker.perform`` runs one
trial in a worker. Import the modules, not this package: it exports nothing.
"""
