"""The face detector's training half (torch): network, data, loss, training, export and evaluation.

The runtime half is `faceperc.detect`, which needs no torch and reads the exported ONNX file only.
"""
