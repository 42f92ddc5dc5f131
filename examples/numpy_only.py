"""One face with onnxruntime and numpy alone (Pillow only decodes the photograph).

    python numpy_only.py faceperc-nano.onnx photo.jpg 175 66 271 178

The four numbers are the face's box in pixels, hairline to chin; the rest is in the model file.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

model, photo, *box = sys.argv[1:]
image = np.asarray(Image.open(photo).convert("RGB"))
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["faceperc"])

rule, (x0, y0, x1, y1) = about["crop"], map(float, box)  # the crop: a square around the box
size, longer = rule["size"], max(x1 - x0, y1 - y0)
corner = np.array([x0 + x1, y0 + y1]) / 2 + np.multiply(rule["shift"], longer) - rule["scale"] * longer / 2
step = rule["scale"] * longer / size  # image pixels per crop pixel

shrink = max(1, int(step))  # average blocks of pixels first, so that nothing aliases; then interpolate
height, width = (n // shrink for n in image.shape[:2])
blocks = image[: height * shrink, : width * shrink].reshape(height, shrink, width, shrink, 3).mean((1, 3))
x, y = (corner[:, None] + 0.5 + (np.arange(size) + 0.5) * step) / shrink - 0.5
rows, columns = (np.clip(1 - abs(np.arange(n) - at[:, None]), 0, 1) for n, at in ((height, y), (width, x)))
crop = np.einsum("yh,hwc,xw->yxc", rows, blocks, columns, optimize=True).astype(np.uint8)

names = [output.name for output in session.get_outputs()]
answer = dict(zip(names, session.run(names, {about["input"]["name"]: crop[None]}), strict=True))
points = corner + (answer["landmarks.points"][0] + 0.5) * step
r = answer["pose.matrix"][0]
angles = np.degrees([np.arcsin(-r[0, 2]), np.arctan2(r[1, 2], r[2, 2]), np.arctan2(r[0, 1], r[0, 0])])
label = about["tasks"]["expression"]["labels"][answer["expression.probabilities"][0].argmax()]
print(json.dumps({"points": points.tolist(), "yaw, pitch, roll": angles.tolist(), "expression": label}))
