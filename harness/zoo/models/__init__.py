"""Models, one file each: every way of training a generator. Presets are the published variants."""

SHARED = (
    "base",
    "conditional",
    "cyclegan_modules",
    "encoding",
    "feedback",
    "paths",
    "seeds",
    "semi_supervised_networks",
)
"""Files that several plug-ins share and that hold none: the registry does not look into them."""
