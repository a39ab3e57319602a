"""Running what a plan lacks: the ``driver`` takes work from the queues of ``study`` and gives it to an ``engine``.

``engine`` is the contract, ``local`` the engine of one machine, ``worker`` what each worker does with a trial. Only
``study`` imports optuna.
"""
