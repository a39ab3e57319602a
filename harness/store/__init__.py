"""Where results are kept: a trial writes a ``journal``, ``delivery`` brings it to MLflow, ``runs`` reads it back.

``identity`` and ``seals`` say what a run is of and whether somebody changed it. Only this place imports mlflow.
"""
