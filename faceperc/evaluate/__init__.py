"""How good a model file is: `faceperc eval` and `faceperc compare`."""
