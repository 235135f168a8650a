"""One attack a file, each with a positive control; ``demo.catalogue`` lists them."""
