"""The store of results: workers write a ``journal``, ``delivery`` brings it to MLflow, ``runs`` reads it back.

``identity`` and ``seals`` tell which trial a run belongs to and whether somebody changed it; ``record`` is a row of
results, ``folders`` has the layout and the lock of a results folder, ``sqlite`` checks the files, ``upgrade`` upgrades
old stores. Only this package imports mlflow. Import the modules, not this package: it exports nothing.
"""
