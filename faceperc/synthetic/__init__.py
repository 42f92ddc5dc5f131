"""Rendered heads with exact labels, seen from every side: the ICT face model, dressed with hair and clothes.

NumPy and OpenCV only. Frames: the head's (centimetres, x to the subject's left, y up, z out of the face) and
the camera's (x right, y up, z to the viewer), which coincide for a frontal head, as in docs/contract.md.
"""
