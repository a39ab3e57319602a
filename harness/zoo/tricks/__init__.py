"""Training tricks, one file each: hooks around the two-player game."""

SHARED = ("base", "game", "layers", "zero_centred")
"""Files that several plug-ins share and that hold none: the registry does not look into them."""
