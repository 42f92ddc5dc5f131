"""The commands of `faceperc` that predict and handle models, a file each; `faceperc/cli.py` names them."""
