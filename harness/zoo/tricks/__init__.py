"""Training tricks, one file each: hooks around the two-player game.

Every module is a plug-in, found by the registry, except those of ``SHARED``. ``base`` has the base class ``Trick``,
``checks`` what is said of a hook that returns
something else than it should, ``game`` the interface of the game that tricks use, ``layers`` torch modules.
Import from the modules; this package exports nothing.
"""

SHARED = ("base", "checks", "game", "layers", "zero_centred")
"""Modules without a plug-in: the registry does not look into them."""
