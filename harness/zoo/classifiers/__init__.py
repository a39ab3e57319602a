"""Binary classifiers of real against generated images, one file each: the model ``recipe`` trains one per round.

Every module is a plug-in, found by the registry, except those of ``SHARED``. ``base`` has the base class
``Classifier``. Import from the modules; this package exports nothing.
"""

SHARED = ("base",)
"""Modules without a plug-in: the registry does not look into them."""
