"""How fast things are: `faceperc bench` times prediction, `faceperc bench train` a training."""
