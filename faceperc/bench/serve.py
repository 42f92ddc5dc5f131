"""`faceperc bench serve`: how fast a service answers, and what it does when overrun."""

from __future__ import annotations

import dataclasses
import http.client
import json
import random
import shlex
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from faceperc._cores import cores
from faceperc._files import check_json_target, write_file
from faceperc._parser import CommandParser
from faceperc.bench.cli import count, counts
from faceperc.bench.clock import Spread, digits
from faceperc.bench.predict import machine
from faceperc.bench.report import Table, machine_line, markdown_tables, show_tables, update_page
from faceperc.errors import FacepercError
from faceperc.predict import Predictor
from faceperc.serve.cli import check_installed
from faceperc.zoo import DEFAULT_MODEL, sample_image

COMMAND = "faceperc bench serve"
PATH = "/v1/faces?masks=false"
_TIMEOUT = 60.0  # seconds: a server that is silent for so long is broken


class ServerError(FacepercError):
    """A server that did not start, or gave an answer that no load explains."""


@dataclass
class Load:
    """What the clients of one step saw.

    Attributes:
        seconds: from the start of the first to the end of the last.
        answered: seconds of each request that was answered.
        refused: seconds of each that was answered 503.
        late: how many were given up by the server (504).
        cpu: processor time of the server, seconds.
    """

    seconds: float = 0.0
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    late: int = 0
    cpu: float = 0.0


@dataclass(frozen=True)
class Loop:
    """The figures of the plain loop.

    Attributes:
        rate: images per second.
        cpu_ms: processor time per image.
    """

    rate: Spread
    cpu_ms: Spread


@dataclass(frozen=True)
class Step:
    """The figures of a server under one number of clients.

    Attributes:
        options: of `faceperc serve`.
        clients: that send one request after the other, all at once.
        rate: answers per second.
        cpu_ms: processor time of the server per answer; of a round in which it gave some.
        ratio: to the images per second of a plain loop in the same round.
        p50_ms, p95_ms, p99_ms: time of an answer, over all rounds; None without any.
        refused: share of requests that were answered 503.
        refused_p99_ms: time of such an answer; None without any.
        late: share of requests that were answered 504.
    """

    options: str
    clients: int
    rate: Spread
    cpu_ms: Spread
    ratio: Spread
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    refused: float
    refused_p99_ms: float | None
    late: float


def main(args: list[str]) -> int:
    """Measure; `--help` lists the options."""
    parser = CommandParser(
        prog=COMMAND,
        description="Start `faceperc serve` in a process of its own and send it the bundled photograph from "
        "this one, with several numbers of clients in turn with a plain loop over the predictor in this "
        "process. Each client sends its next request when it has the answer; after a 503 it waits for as "
        "long as it is told. Clients and server share the processor; the server's own processor time per "
        "answer is what other programs disturb least.",
        epilog=f"Example: {COMMAND} --serve '--workers 1 --threads 2' --serve '--workers 2'",
    )
    parser.add_argument("model", nargs="?", default=DEFAULT_MODEL, help=f"default: {DEFAULT_MODEL}")
    parser.add_argument(
        "--serve",
        action="append",
        metavar="OPTIONS",
        help="options of 'faceperc serve'; may be repeated, to compare (default: none)",
    )
    parser.add_argument(
        "--clients", type=counts, default=[1, 8, 64, 256], metavar="1,8", help="default: 1,8,64,256"
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="of each step of a round (default: 4)")
    parser.add_argument("--rounds", type=count, default=5, help="how often each is measured (default: 5)")
    parser.add_argument("--json", metavar="FILE", help="also write everything as JSON")
    parser.add_argument("--update", metavar="PAGE", type=Path, help="also put it into a Markdown page")
    options = parser.parse_args(args)
    check_json_target(options.json)
    check_installed()
    where = machine()
    loop, steps = measure(
        options.model, options.serve or [""], options.clients, options.seconds, options.rounds
    )
    found = tables(loop, steps)
    show_tables(machine_line(where), found)
    if options.json:
        document = {
            "machine": where,
            "loop": dataclasses.asdict(loop),
            "steps": [dataclasses.asdict(each) for each in steps],
        }
        write_file(options.json, (json.dumps(document, indent=2) + "\n").encode())
    if options.update:
        command = shlex.join([*COMMAND.split(), *args])
        update_page(options.update, markdown_tables(command, machine_line(where), found), COMMAND)
    return 0


def measure(
    model: str, servers: Sequence[str], clients: Sequence[int], seconds: float, rounds: int
) -> tuple[Loop, list[Step]]:
    """Load each server with each number of clients, in turn with a loop and in a new order each round.

    Args:
        model: that all use.
        servers: options of each.
        clients: numbers of clients.
        seconds: of each step.
        rounds: of all steps.

    Returns:
        The figures of the plain loop, and of each step.

    Raises:
        ServerError: if a server does not start, or answers what it should not.
    """
    image = sample_image().read_bytes()
    predictor = Predictor(model, threads=cores())
    loops: list[tuple[float, float]] = []
    loads: dict[tuple[str, int], list[Load]] = {(each, n): [] for each in servers for n in clients}
    with ExitStack() as stack:
        addresses = {each: stack.enter_context(running_server(model, each)) for each in servers}
        for address in addresses.values():
            load(address, image, 2, min(1.0, seconds))  # nobody's first run counts
        work: list[Callable[[], None]] = [lambda: loops.append(_loop(predictor, image, seconds))]
        work += [
            partial(_append, found, addresses[options], image, number, seconds)
            for (options, number), found in loads.items()
        ]
        shuffle = random.Random(0).shuffle
        for _ in range(rounds):
            shuffle(work)
            for each in work:
                each()
    rates, cpu = zip(*loops, strict=True)
    return Loop(Spread.of(rates), Spread.of(cpu)), [
        _step(options, number, found, rates) for (options, number), found in loads.items()
    ]


@contextmanager
def running_server(model: str, options: str) -> Iterator[str]:
    """`faceperc serve` in a process of its own, on a free port.

    Args:
        model: that it uses.
        options: more of its options.

    Returns:
        Its address.

    Raises:
        ServerError: if it does not start.
    """
    command = [sys.executable, "-m", "faceperc.cli", "serve", "--port", "0", "--model", model]
    with subprocess.Popen([*command, *shlex.split(options)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            words = [word for word in line.split() if word.startswith("http://")]
            if not words:
                raise ServerError(f"'faceperc serve {options}' did not start; its message is above")
            yield words[0]
        finally:
            process.terminate()


def load(address: str, image: bytes, clients: int, seconds: float) -> Load:
    """Let clients send requests, one after the other each and all at once.

    Raises:
        ServerError: if an answer is neither the faces nor that there is too much to do.
    """
    found, lock, errors = Load(), threading.Lock(), list[Exception]()
    busy, begin = _processor_time(address), time.perf_counter()

    def client() -> None:
        try:
            own = _client(address, image, begin + seconds)
        except Exception as error:
            errors.append(error)
            return
        with lock:
            found.answered += own.answered
            found.refused += own.refused
            found.late += own.late

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise ServerError(f"{address}: {errors[0] or type(errors[0]).__name__}") from errors[0]
    found.seconds = time.perf_counter() - begin
    found.cpu = _processor_time(address) - busy
    return found


def _client(address: str, image: bytes, end: float) -> Load:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=_TIMEOUT)
    own = Load()
    while (begin := time.perf_counter()) < end:
        connection.request("POST", PATH, image, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        body = answer.read()
        took = time.perf_counter() - begin
        if answer.status == 200:
            own.answered.append(took)
        elif answer.status == 504:
            own.late += 1
        elif answer.status == 503:
            own.refused.append(took)
            # but not longer than there is to measure
            time.sleep(max(0.0, min(float(answer.headers["Retry-After"]), end - time.perf_counter())))
        else:
            raise ServerError(f"answered {answer.status}: {body[:300]!r}")
    connection.close()
    return own


def _processor_time(address: str) -> float:
    """Of a server since its start, seconds; NaN where it does not know."""
    with urllib.request.urlopen(f"{address}/metrics", timeout=_TIMEOUT) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("process_cpu_seconds_total "):
                return float(line.split()[1])
    return float("nan")


def tables(loop: Loop, steps: Sequence[Step]) -> list[Table]:
    """All figures, as text."""
    headings = (
        "serve options",
        "clients",
        "answers/s",
        "ratio to the loop",
        "CPU ms",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "503",
        "p99 ms of a 503",
        "504",
    )
    rows = [
        (
            each.options or "(none)",
            str(each.clients),
            str(each.rate),
            f"{each.ratio.median:.2f} ({each.ratio.low:.2f}-{each.ratio.high:.2f})",
            str(each.cpu_ms),
            *(_number(value) for value in (each.p50_ms, each.p95_ms, each.p99_ms)),
            f"{each.refused:.0%}",
            _number(each.refused_p99_ms),
            f"{each.late:.0%}",
        )
        for each in steps
    ]
    loop_row = ("plain loop in one process", "", str(loop.rate), "1", str(loop.cpu_ms), *[""] * 6)
    return [Table("The bundled photograph, 512 x 512, one face", headings, [loop_row, *rows])]


def _number(value: float | None) -> str:
    return "" if value is None else digits(value)


def _percentile(values: Sequence[float], share: float) -> float | None:
    return float(np.percentile(values, share)) if values else None


def _append(found: list[Load], address: str, image: bytes, clients: int, seconds: float) -> None:
    found.append(load(address, image, clients, seconds))


def _loop(predictor: Predictor, image: bytes, seconds: float) -> tuple[float, float]:
    """Images per second of the plainest program, and its milliseconds of processor time for each."""
    done, busy, begin = 0, time.process_time(), time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        predictor(image).to_json()
        done += 1
    return done / elapsed, 1e3 * (time.process_time() - busy) / done


def _step(options: str, clients: int, found: Sequence[Load], loops: Sequence[float]) -> Step:
    rates = [len(each.answered) / each.seconds for each in found]
    answered = [1e3 * value for each in found for value in each.answered]
    refused = [1e3 * value for each in found for value in each.refused]
    late = sum(each.late for each in found)
    total = max(1, len(answered) + len(refused) + late)
    return Step(
        options=options,
        clients=clients,
        rate=Spread.of(rates),
        cpu_ms=Spread.of([1e3 * each.cpu / max(1, len(each.answered)) for each in found]),
        ratio=Spread.of([rate / loop for rate, loop in zip(rates, loops, strict=True)]),
        p50_ms=_percentile(answered, 50),
        p95_ms=_percentile(answered, 95),
        p99_ms=_percentile(answered, 99),
        refused=len(refused) / total,
        refused_p99_ms=_percentile(refused, 99),
        late=late / total,
    )
