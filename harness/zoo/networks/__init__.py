"""Architectures, one file each: a generator and a discriminator for the shapes that they serve."""

SHARED = ("base", "modules", "scores")
"""Files that several plug-ins share and that hold none: the registry does not look into them."""
