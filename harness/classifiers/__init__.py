"""Binary classifiers of real against synthetic images, a file each: what the model ``recipe`` trains each round."""
