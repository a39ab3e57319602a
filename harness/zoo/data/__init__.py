"""Data sets, one file each: what generators learn from."""

SHARED = ("base", "digests", "downloads", "order", "pixels", "points", "published", "strokes")
"""Files that several plug-ins share and that hold none: the registry does not look into them."""
