"""The models that come with the package; `faceperc models` lists them."""
