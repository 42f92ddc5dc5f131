"""Many images: worker processes, one file of results, and going on after an interruption."""

from faceperc.batch.arrow import FacePredictor
from faceperc.batch.job import predict_files
from faceperc.batch.store import Tally

__all__ = ["FacePredictor", "Tally", "predict_files"]
