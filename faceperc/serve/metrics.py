"""What /metrics tells, for Prometheus. Nothing of it is about the content of a request."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64)
FACES = (0, 1, 2, 5, 10, 20, 50, 100)

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Counters of one service.

    Attributes:
        requests: by address and status.
        seconds: from the head of a request to the end of its answer, by address.
        batch_images: images in each batch.
        batch_seconds: how long each batch took a worker.
        faces: faces in each image.
    """

    def __init__(self, waiting: Callable[[], float], in_progress: Callable[[], float]) -> None:
        """Start at zero.

        Args:
            waiting: tells how many images wait for a worker.
            in_progress: tells how many requests for faces have begun and not ended.
        """
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # memory and processor time
        labels = ["route"]
        self.requests = Counter(
            "faceperc_requests",
            "Requests by address and status.",
            [*labels, "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "faceperc_request_seconds",
            "From the head of a request to the end of its answer.",
            labels,
            buckets=SECONDS,
            registry=self._registry,
        )
        self.batch_images = self._histogram("faceperc_batch_images", "Images in a batch.", SIZES)
        self.batch_seconds = self._histogram(
            "faceperc_batch_seconds", "Time of a batch in a worker.", SECONDS
        )
        self.faces = self._histogram("faceperc_faces", "Faces found in an image.", FACES)
        self._gauge("faceperc_waiting", "Images that wait for a worker.", waiting)
        self._gauge("faceperc_in_progress", "Requests for faces in progress.", in_progress)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, what, buckets=buckets, registry=self._registry)

    def _gauge(self, name: str, what: str, value: Callable[[], float]) -> None:
        Gauge(name, what, registry=self._registry).set_function(value)
