"""One face with onnxruntime and numpy alone (Pillow only decodes the photograph).

    python numpy_only.py faceperc-nano.onnx photo.jpg 175 66 271 178

The four numbers are the face's box in pixels, hairline to chin; the rest is in the model file.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model, photo, *box = sys.argv[1:]
image = np.asarray(ImageOps.exif_transpose(Image.open(photo)).convert("RGB"))  # upright
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["faceperc"])

rule, (x0, y0, x1, y1) = about["crop"], map(float, box)  # the crop: a square around the box
size, longer = rule["size"], max(x1 - x0, y1 - y0)
corner = np.array([x0 + x1, y0 + y1]) / 2 + np.multiply(rule["shift"], longer) - rule["scale"] * longer / 2
step = rule["scale"] * longer / size  # image pixels per crop pixel

shrink, crop = max(1, int(step)), image  # image pixels per side of a block
for axis in (0, 1):  # rows, then columns: average blocks first, so that nothing aliases; then interpolate
    starts = np.arange(0, crop.shape[axis], shrink)  # the last block may be smaller
    lengths = np.diff(starts, append=crop.shape[axis])
    blocks = np.moveaxis(np.add.reduceat(crop, starts, axis, np.float64), axis, -1) / lengths
    at = (corner[1 - axis] + 0.5 + (np.arange(size) + 0.5) * step) / shrink - 0.5  # in blocks
    nearest = np.clip(at, 0, len(starts) - 1)[:, None]
    weights = np.clip(1 - abs(np.arange(len(starts)) - nearest), 0, 1)
    weights[(at < -0.5) | (at >= len(starts) - 0.5)] = 0  # black outside the image
    crop = np.moveaxis(blocks @ weights.T, -1, axis)
crop = crop.astype(np.uint8)

names = [output.name for output in session.get_outputs()]
answer = dict(zip(names, session.run(names, {about["input"]["name"]: crop[None]}), strict=True))
points = corner + (answer["landmarks.points"][0] + 0.5) * step
r = answer["pose.matrix"][0]
angles = np.degrees([np.arcsin(-r[0, 2]), np.arctan2(r[1, 2], r[2, 2]), np.arctan2(r[0, 1], r[0, 0])])
label = about["tasks"]["expression"]["labels"][answer["expression.probabilities"][0].argmax()]
print(json.dumps({"points": points.tolist(), "yaw, pitch, roll": angles.tolist(), "expression": label}))
