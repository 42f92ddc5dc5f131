"""The errors that faceperc raises. Each message says what was wrong, with which input, and what to do."""

from __future__ import annotations


class FacepercError(Exception):
    """Base class: catch it to catch everything that faceperc raises on purpose."""


class ImageError(FacepercError):
    """An image or video that cannot be read or is outside the limits. The message names it and the reason."""


class ImageTooLargeError(ImageError):
    """An image with more bytes or pixels than the limit."""


class ImageFormatError(ImageError):
    """What is no image, or one of a format that is not read."""


class ModelError(FacepercError):
    """A model file that is missing, damaged or not ours, or a runtime that cannot run it."""


class DataError(FacepercError):
    """A data set that is missing, incomplete or damaged."""


class ConfigError(FacepercError):
    """A configuration that names something unknown or contradictory."""


class UsageError(FacepercError, ValueError):
    """A call with arguments that cannot be served: an unknown task name, boxes of the wrong shape."""
