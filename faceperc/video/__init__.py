"""Faces through video: sources of frames, tracking, smoothing, and a file of the drawn frames."""
