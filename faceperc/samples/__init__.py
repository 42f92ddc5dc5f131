"""A photograph to try things on; `faceperc.sample_image()` gives its path."""
