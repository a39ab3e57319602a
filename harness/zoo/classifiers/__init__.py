"""Binary classifiers of real against generated images, one file each: the model ``recipe`` trains one a round."""

SHARED = ("base",)
"""Files that several plug-ins share and that hold none: the registry does not look into them."""
