"""`faceperc serve`: its options, and running the application until it is stopped."""

from __future__ import annotations

import importlib.util
import ipaddress
import logging
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faceperc._cores import cores
from faceperc.cli_options import (
    RUNS,
    DetectorOption,
    HeadsOption,
    MinScoreOption,
    ModelOption,
    ProviderOption,
    TilesOption,
)
from faceperc.errors import UsageError
from faceperc.zoo import DEFAULT_MODEL

if TYPE_CHECKING:
    from faceperc.predict import Predictor
    from faceperc.serve.options import Options

_PACKAGES = ("fastapi", "uvicorn", "prometheus_client", "python_multipart")
_GRACE = 5  # seconds more than the deadline that requests in progress have when the service is stopped


_ADDRESS, _BATCHES, _LIMITS = "Address and access", "Batches", "Limits"


def _option(panel: str, text: str, **more: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=panel, **more)


def serve(
    host: Annotated[str, _option(_ADDRESS, "Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, _option(_ADDRESS, "0 takes a free one.", min=0, max=65535)] = 8000,
    api_key_file: Annotated[
        Path | None,
        _option(_ADDRESS, "Want this key; else that in FACEPERC_API_KEY, if it is set.", metavar="FILE"),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        _option(_ADDRESS, "Let pages of this origin use it; may be repeated.", metavar="ORIGIN"),
    ] = None,
    min_score: MinScoreOption = None,
    heads: HeadsOption = False,
    tiles: TilesOption = False,
    model: ModelOption = DEFAULT_MODEL,
    detector: DetectorOption = None,
    provider: ProviderOption = None,
    threads: Annotated[int, _option(RUNS, "Threads within an operator, for each worker.")] = 1,
    workers: Annotated[
        int | None, _option(_BATCHES, "Batches that are worked on at once; by default one per core.")
    ] = None,
    max_batch: Annotated[
        int | None, _option(_BATCHES, "Most images in a batch; by default 8, or 1 for a model in int8.")
    ] = None,
    max_wait_ms: Annotated[
        float, _option(_BATCHES, "Wait so long for a batch to fill; 0 takes what is there.")
    ] = 0.0,
    queue: Annotated[int, _option(_LIMITS, "Requests in progress; more are refused with 503.")] = 64,
    deadline: Annotated[float, _option(_LIMITS, "Seconds until a request is given up.")] = 10.0,
    max_mb: Annotated[float, _option(_LIMITS, "Largest image file, 10^6 bytes.")] = 20.0,
    max_megapixels: Annotated[float, _option(_LIMITS, "Largest image, 10^6 pixels.")] = 25.0,
    max_faces: Annotated[int, _option(_LIMITS, "Faces looked at in an image, the surest ones.")] = 100,
) -> None:
    """Answer images that are sent over HTTP, and show a page to try it."""
    check_installed()
    from faceperc.predict import Predictor
    from faceperc.serve.options import MAX_BATCH, Options, read_key

    options = Options(
        workers=cores() if workers is None else workers,
        max_batch=MAX_BATCH if max_batch is None else max_batch,
        max_wait=max_wait_ms / 1e3,
        queue=queue,
        deadline=deadline,
        max_bytes=round(1e6 * max_mb),
        max_pixels=round(1e6 * max_megapixels),
        max_faces=max_faces,
        key=read_key(api_key_file),
        origins=tuple(allow_origin or ()),
    )
    predictor = Predictor(
        model,
        detector=detector,
        min_score=min_score,
        threads=threads,
        provider=provider,
        max_pixels=options.max_pixels,
        heads=heads,
        tiles=tiles,
    )
    if max_batch is None and predictor.metadata.raw.get("precision") == "int8":
        # such a model measures its scales over a whole batch: answers would depend on what others sent
        options = replace(options, max_batch=1)
    run(predictor, options, host, port)


def check_installed() -> None:
    """Check that the packages of the extra are here.

    Raises:
        UsageError: if not.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"'serve' needs the package {missing[0]}; install the extra: pip install \"faceperc[cpu,serve]\""
        )


def run(predictor: Predictor, options: Options, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM; requests in progress are finished then.

    Raises:
        ModelError: if the detector cannot be opened.
        UsageError: if the address cannot be listened on.
    """
    import uvicorn

    from faceperc.serve.app import create_app

    app = create_app(predictor, options)
    listener = _listen(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
    if options.key is None and not _is_local(host):
        print(
            f"faceperc: warning: {address} answers everybody who can reach it, without a key and without "
            "encryption; set FACEPERC_API_KEY or --api-key-file, and see docs/serve.md",
            file=sys.stderr,
        )
    # what is wrong with a request is told to who sent it; the log is for what is wrong here
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http="h11",  # whatever else is installed: this one bounds the size of the headers
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(options.deadline + _GRACE),
    )
    # from here on connections wait until the application takes them
    print(f"{predictor.metadata.name} on {predictor.provider}: {address} (Ctrl-C ends it)", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
        # connections inherit it: else the body of an answer waits 40 ms for the client to confirm the headers
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; "
            "choose another --port (0 takes a free one) or --host"
        ) from error


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
