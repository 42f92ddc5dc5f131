"""The service over HTTP: its answers are the predictor's, and what it refuses it refuses clearly."""

from __future__ import annotations

import http.client
import io
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
from conftest import FakeDetector
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from serving import GatedDetector, metric, serving, wait_until
from tiny_onnx import FACE_TASKS, build_face_model

import faceperc
from faceperc.errors import ModelError
from faceperc.kinds import KINDS
from faceperc.predict import Predictor
from faceperc.serve.app import create_app
from faceperc.serve.options import Options
from faceperc.serve.schema import KIND_MODELS, Faces

KEY = "a-key-of-sixteen-characters"
LIMITS = Options(workers=2, max_bytes=100_000, max_pixels=200_000, max_faces=1)


@pytest.fixture(scope="module")
def predictor(face_model: Path) -> Predictor:
    return Predictor(face_model, detector=FakeDetector(), threads=1)


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[httpx.Client]:
    with serving(predictor) as client:
        yield client


@pytest.fixture(scope="module")
def narrow(predictor: Predictor) -> Iterator[httpx.Client]:
    """A service with low limits and a key."""
    with serving(predictor, Options(**{**LIMITS.__dict__, "key": KEY})) as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        yield client


def encoded(pixels: NDArray[np.uint8], image_format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, image_format, **options)
    return stream.getvalue()


@pytest.fixture
def png(pixels: NDArray[np.uint8]) -> bytes:
    return encoded(pixels)


def check_problem(answer: httpx.Response, status: int, kind: str, detail: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"urn:problem-type:faceperc:{kind}" and problem["status"] == status
    assert detail in problem["detail"] and problem["title"]


def test_answers_what_the_predictor_does(client: httpx.Client, predictor: Predictor, png: bytes) -> None:
    wanted = predictor(png).to_dict()
    assert len(wanted["faces"]) == 2
    for answer in (
        client.post("/v1/faces", content=png),
        client.post("/v1/faces", content=png, headers={"Content-Type": "image/png"}),
        client.post("/v1/faces", files={"image": ("me.png", png, "image/png")}),
    ):
        assert answer.status_code == 200 and answer.json() == wanted
        assert "Faceperc-Truncated" not in answer.headers and answer.headers["Cache-Control"] == "no-store"


def test_the_real_model_answers_as_in_python() -> None:
    predictor, data = Predictor(threads=1), faceperc.sample_image().read_bytes()
    wanted = predictor(data)
    with serving(predictor, Options(workers=2)) as client:
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: client.post("/v1/faces", content=data), range(6)))
        for answer in answers:
            [face], [reference] = answer.json()["faces"], wanted.to_dict()["faces"]
            assert (
                face["box"] == reference["box"] and face["tasks"]["parsing"] == reference["tasks"]["parsing"]
            )
            np.testing.assert_allclose(
                face["tasks"]["landmarks"]["points"], reference["tasks"]["landmarks"]["points"], atol=2e-3
            )
        jsonschema.validate(answers[0].json(), openapi_schema(client, "Faces"))
        drawn = Image.open(io.BytesIO(client.post("/v1/faces/drawn", content=data).content))
        difference = np.abs(np.asarray(drawn, float) - np.asarray(wanted.draw(), float))
        assert drawn.format == "JPEG" and drawn.size == (512, 512) and difference.mean() < 3
        rough = client.post("/v1/faces", content=data, params={"min_score": 0.1})
        check_problem(rough, 422, "wrong-parameter", "min_score: this service keeps no face below")


def test_parameters(client: httpx.Client, predictor: Predictor, png: bytes) -> None:
    wanted = predictor(png).to_dict()
    few = client.post("/v1/faces", content=png, params={"tasks": "redness, age"}).json()
    assert [list(face["tasks"]) for face in few["faces"]] == [["age", "redness"]] * 2
    assert few["faces"][0]["tasks"]["age"] == wanted["faces"][0]["tasks"]["age"]
    sure = client.post("/v1/faces", content=png, params={"min_score": 0.7}).json()
    assert sure["faces"] == wanted["faces"][:1]
    light = client.post("/v1/faces", content=png, params={"masks": "false"}).json()
    del wanted["faces"][0]["tasks"]["parsing"]["png"]
    assert light["faces"][0] == wanted["faces"][0]
    boxes = client.post("/v1/faces/drawn", content=png, params={"tasks": "age", "min_score": 0.7})
    assert Image.open(io.BytesIO(boxes.content)).size == (100, 80)


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/faces?tasks=pos", "unknown task 'pos': did you mean 'pose'?"),
        ("/v1/faces?tasks=pose&tasks=age", "tasks is given more than once"),
        ("/v1/faces?tasks=,", "tasks is empty; leave it out for all of: landmarks"),
        (
            "/v1/faces?task=pose",
            "unknown parameter 'task': did you mean 'tasks'? Known: tasks, min_score, masks",
        ),
        ("/v1/faces/drawn?masks=true", "unknown parameter 'masks'"),
        ("/v1/faces?min_score=2", "min_score: input should be less than or equal to 1; got '2'"),
        ("/v1/faces?min_score=nan", "min_score"),
        ("/v1/faces?masks=perhaps", "masks: input should be a valid boolean"),
    ],
)
def test_wrong_parameters(client: httpx.Client, png: bytes, path: str, detail: str) -> None:
    check_problem(client.post(path, content=png), 422, "wrong-parameter", detail)


GIF_OF_AN_EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n"


@pytest.mark.parametrize(
    ("body", "status", "kind", "detail"),
    [
        (b"", 422, "no-image", "the body is empty"),
        (b"hello", 415, "no-image", "the file is not an image of a known format; use JPEG, PNG or WebP"),
        (GIF_OF_AN_EPS, 415, "no-image", "not an image of a known format"),
        (encoded(np.zeros((80, 100, 3), np.uint8))[:60], 422, "damaged-image", "truncated or damaged"),
        (encoded(np.zeros((4, 100, 3), np.uint8)), 422, "damaged-image", "too small: 100 x 4 pixels"),
        (encoded(np.zeros((500, 500, 3), np.uint8)), 413, "too-many-pixels", "200,000 pixels"),
        (bytes(100_001), 413, "too-many-bytes", "100,000 bytes"),
        (bytes(900_000), 413, "too-many-bytes", "100,000 bytes"),
        (encoded(np.zeros((90, 90, 3), np.uint8), "JPEG") + b"\xff\xda" * 200, 422, "damaged-image", "scans"),
    ],
)
def test_bodies_that_are_refused(
    narrow: httpx.Client, body: bytes, status: int, kind: str, detail: str
) -> None:
    check_problem(narrow.post("/v1/faces", content=body), status, kind, detail)


def test_a_truncated_picture_harms_no_other(client: httpx.Client, png: bytes) -> None:
    noise = encoded(np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8))
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda body: client.post("/v1/faces", content=body), [png, noise[:-9000]] * 4)
        )
    assert [answer.status_code for answer in answers] == [200, 422] * 4
    check_problem(answers[1], 422, "damaged-image", "the file is truncated or damaged")


@pytest.mark.parametrize(
    ("form", "kind", "detail"),
    [
        ({"files": {"photo": b"x"}}, "no-image", "no file in the field 'image'; it has the files 'photo'"),
        ({"files": {"image": b""}}, "no-image", "the body is empty"),
        (
            {"content": b"--x\r\nContent-Disposition: form-data; name=image\r\n\r\nhello\r\n--x--"},
            "no-image",
            "no file",
        ),
        ({"content": b"there is no boundary here"}, "damaged-form", "the form cannot be read"),
    ],
)
def test_forms_that_are_refused(client: httpx.Client, form: dict[str, Any], kind: str, detail: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"} if "content" in form else {}
    check_problem(client.post("/v1/faces", headers=headers, **form), 422, kind, detail)


@pytest.mark.parametrize("name", ["name=a", "name=image; filename=b"])
def test_a_form_of_very_many_parts_is_not_taken_apart(client: httpx.Client, name: str) -> None:
    part = f"--x\r\nContent-Disposition: form-data; {name}\r\n\r\n\r\n".encode()
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    form = client.post("/v1/faces", headers=headers, content=part * 100 + b"--x--")
    check_problem(form, 422, "damaged-form", "more than 50 parts; send the image alone")


def test_a_form_has_the_limit_of_a_file(narrow: httpx.Client) -> None:
    form = narrow.post("/v1/faces", files={"image": bytes(100_001)})
    check_problem(form, 413, "too-many-bytes", "100,000 bytes")


def test_a_body_without_a_length_is_not_read_to_its_end(narrow: httpx.Client) -> None:
    lines = (
        "POST /v1/faces HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {KEY}",
        "Transfer-Encoding: chunked",
    )
    head, chunk = "\r\n".join((*lines, "", "")).encode(), b"ffff\r\n" + bytes(0xFFFF) + b"\r\n"
    with connection(narrow) as line:
        line.sendall(head + 2 * chunk)  # the end never comes
        assert line.recv(100).startswith(b"HTTP/1.1 413 ")


def test_who_sends_all_before_reading_learns_the_reason(narrow: httpx.Client) -> None:
    plain = http.client.HTTPConnection(narrow.base_url.host, narrow.base_url.port, timeout=60)
    for body in (bytes(30_000_000), iter([bytes(1_000_000)] * 30)):
        plain.request("POST", "/v1/faces", body, {"Authorization": f"Bearer {KEY}"}, encode_chunked=True)
        answer = plain.getresponse()
        assert answer.status == 413 and json.load(answer)["type"].endswith(":too-many-bytes")
    plain.close()


def connection(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port), 60)


def receive(line: socket.socket) -> bytes:
    """All that comes until the server closes."""
    return b"".join(iter(lambda: line.recv(65536), b""))


def test_an_answer_is_a_part_where_there_are_more_faces(narrow: httpx.Client, png: bytes) -> None:
    answer = narrow.post("/v1/faces", content=png)
    assert [face["score"] for face in answer.json()["faces"]] == [0.9]
    assert answer.headers["Faceperc-Truncated"] == "true"
    assert metric(narrow, 'faceperc_faces_bucket{le="1.0"}') == metric(narrow, "faceperc_faces_count") > 0


@pytest.mark.parametrize(
    ("header", "is_right"),
    [
        (f"Bearer {KEY}", True),
        (f"bearer {KEY}", True),
        (f"Bearer {KEY}x", False),
        ("Bearer", False),
        ("Bearer é", False),
        (f"Basic {KEY}", False),
        (KEY, False),
        ("", False),
    ],
)
def test_the_key(narrow: httpx.Client, png: bytes, header: str, is_right: bool) -> None:
    headers = {"Authorization": header.encode("latin-1")}
    for path in ("/", "/healthz", "/readyz"):
        assert narrow.get(path, headers=headers).status_code == 200
    answers = [narrow.get(path, headers=headers) for path in ("/metrics", "/v1/model", "/openapi.json")]
    answers.append(narrow.post("/v1/faces", content=png, headers=headers))
    for answer in answers:
        if is_right:
            assert answer.status_code == 200
        else:
            check_problem(answer, 401, "wrong-key", "Authorization: Bearer KEY")
            assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_addresses(client: httpx.Client) -> None:
    check_problem(client.get("/v1/faces"), 405, "wrong-method", "/v1/faces takes no GET, but POST")
    assert client.get("/v1/faces").headers["Allow"] == "POST"
    check_problem(client.get("/nowhere"), 404, "no-such-address", "there is nothing at /nowhere")
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    for path in ("/", "/healthz", "/readyz"):
        assert client.head(path).status_code == 200 and client.head(path).content == b""
    check_problem(client.post("/v1/faces/"), 404, "no-such-address", "there is nothing at /v1/faces/")
    before = metric(client, 'faceperc_requests_total{route="other",status="404"}')
    for number in range(3):
        client.get(f"/made/up/{number}")
    assert metric(client, 'faceperc_requests_total{route="other",status="404"}') == before + 3


def test_the_model_is_described(client: httpx.Client, predictor: Predictor) -> None:
    about = client.get("/v1/model").json()
    assert about["name"] == "tiny" and about["face_model"] == predictor.metadata.raw
    assert about["detector"] is None and about["provider"] == "cpu"
    assert about["limits"]["max_pixels"] == Options().max_pixels


def openapi_schema(client: httpx.Client, name: str) -> dict[str, Any]:
    document = client.get("/openapi.json").json()
    return {**document, "$ref": f"#/components/schemas/{name}"}


def test_openapi_names_the_models_tasks(client: httpx.Client, png: bytes) -> None:
    schema = openapi_schema(client, "Faces")
    tasks = schema["components"]["schemas"]["Face"]["properties"]["tasks"]["properties"]
    assert list(tasks) == [*FACE_TASKS, "redness"]
    assert tasks["landmarks"]["description"] == "four points" and "in %" in tasks["redness"]["description"]
    answer = client.post("/v1/faces", content=png).json()
    jsonschema.validate(answer, schema)
    jsonschema.validate(client.post("/v1/faces?masks=false", content=png).json(), schema)
    for path, value in [
        (("expression", "label"), "joy"),
        (("expression", "probabilities"), {"joy": 1.0}),
        (("age", "unit"), "months"),
        (("parsing", "labels"), ["background"]),
        (("landmarks", "points"), [[1.0, 2.0]]),
        (("pose", "kind"), "points"),
    ]:
        other = json.loads(json.dumps(answer))
        other["faces"][0]["tasks"][path[0]][path[1]] = value
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(other, schema)
    operation = schema["paths"]["/v1/faces"]["post"]
    parameter = next(each for each in operation["parameters"] if each["name"] == "tasks")
    assert parameter["schema"]["items"] == {"enum": list(tasks)} and parameter["explode"] is False
    assert {*operation["requestBody"]["content"]} >= {"image/*", "multipart/form-data"}
    assert {*operation["responses"]} == {"200", "408", "413", "415", "422", "503", "504"}
    assert "security" not in operation


@pytest.fixture(scope="module")
def every_result(face_model: Path) -> dict[str, Any]:
    """``to_dict()`` of a face with a result of each kind, and of one without what is optional."""
    image = np.zeros((80, 100, 3), np.uint8)
    boxes = [[10, 12, 30, 40]]
    return Predictor(face_model)(image, boxes).to_dict()


def test_schema_has_each_kind(every_result: dict[str, Any]) -> None:
    assert {*KIND_MODELS} == {*KINDS} == {r["kind"] for r in every_result["faces"][0]["tasks"].values()}


def test_schema_is_exactly_to_dict(every_result: dict[str, Any]) -> None:
    assert Faces.model_validate(every_result).model_dump(mode="json") == every_result
    assert {*Faces.model_fields} == {*every_result}
    face = every_result["faces"][0]
    for result in face["tasks"].values():
        model = KIND_MODELS[result["kind"]]
        assert {*model.model_fields} == {*result}
        for wrong in ({**result, "more": 1}, *(without(result, name) for name in result if name != "png")):
            with pytest.raises(ValidationError):
                model.model_validate(wrong)
    for name in face:
        with pytest.raises(ValidationError):
            Faces.model_validate({**every_result, "faces": [without(face, name)]})


def without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


def test_schema_takes_a_task_of_ones_own(tmp_path: Path) -> None:
    task = ({"kind": "points", "labels": ["left ear", "right ear"]}, {"points": np.ones((2, 2))})
    model = build_face_model(tmp_path / "ears.onnx", {"model_ears-2": task})
    predictor = Predictor(model, detector=FakeDetector(), threads=1)
    image = encoded(np.zeros((80, 100, 3), np.uint8))
    with serving(predictor) as client:
        answer = client.post("/v1/faces", content=image).json()
        jsonschema.validate(answer, openapi_schema(client, "Faces"))
    assert list(answer["faces"][0]["tasks"]) == ["model_ears-2", "redness"]
    assert Faces.model_validate(answer).model_dump(mode="json") == answer == predictor(image).to_dict()


def test_overload_is_refused_at_once_and_nothing_else_is_lost(face_model: Path, png: bytes) -> None:
    detector = GatedDetector()
    predictor = Predictor(face_model, detector=detector, threads=1)
    with (
        serving(predictor, Options(workers=1, max_batch=4, queue=3)) as client,
        ThreadPoolExecutor(3) as pool,
    ):
        asked = [pool.submit(client.post, "/v1/faces", content=png) for _ in range(3)]
        wait_until(lambda: client.get("/readyz").status_code == 503)
        for path in ("/v1/faces", "/v1/faces/drawn"):
            refused = client.post(path, content=png)
            check_problem(refused, 503, "busy", "3 requests are in progress, and there is no time for more")
            assert int(refused.headers["Retry-After"]) >= 1
        assert client.get("/healthz").status_code == 200 and metric(client, "faceperc_in_progress") == 3
        detector.gate.set()
        assert [each.result().status_code for each in asked] == [200] * 3
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/v1/faces", content=png).status_code == 200
        assert metric(client, 'faceperc_requests_total{route="/v1/faces",status="503"}') == 1
        # one alone, the two that came meanwhile (or one and one), and the last
        assert metric(client, "faceperc_batch_images_sum") == 4 == metric(client, "faceperc_faces_count")


def test_who_would_wait_too_long_is_refused_before_the_queue_is_full(face_model: Path, png: bytes) -> None:
    detector = GatedDetector(seconds=0.1)
    predictor = Predictor(face_model, detector=detector, threads=1)
    with serving(predictor, Options(workers=1, deadline=4)) as client, ThreadPoolExecutor(30) as pool:
        detector.gate.set()
        assert client.post("/v1/faces", content=png).status_code == 200  # now it knows its pace
        detector.gate.clear()
        asked = [pool.submit(client.post, "/v1/faces", content=png) for _ in range(30)]
        wait_until(lambda: client.get("/readyz").status_code == 503)
        refused = client.post("/v1/faces", content=png)
        check_problem(refused, 503, "busy", "there is no time for more")
        assert int(refused.headers["Retry-After"]) >= 2
        detector.gate.set()
        assert {each.result().status_code for each in asked} <= {200, 503, 504}


def test_a_request_is_given_up_after_its_time(face_model: Path, png: bytes) -> None:
    detector = GatedDetector()
    predictor = Predictor(face_model, detector=detector, threads=1)
    with serving(predictor, Options(workers=1, max_batch=1, deadline=0.3)) as client:
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: client.post("/v1/faces", content=png), range(2)))
        for answer in answers:
            check_problem(answer, 504, "too-late", "no answer within 0.3 seconds")
        detector.gate.set()
        wait_until(lambda: metric(client, "faceperc_in_progress") == 0)
        wait_until(lambda: detector.images == 1)  # the one that still waited was forgotten
        with connection(client) as line:
            line.sendall(b"POST /v1/faces HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
            assert receive(line).startswith(b"HTTP/1.1 408 ")


def test_who_has_gone_is_not_waited_for(face_model: Path, png: bytes) -> None:
    detector = GatedDetector()
    predictor = Predictor(face_model, detector=detector, threads=1)
    with serving(predictor, Options(workers=1, max_batch=1)) as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/v1/faces", content=png)
        wait_until(lambda: metric(client, "faceperc_in_progress") == 1)
        head = f"POST /v1/faces HTTP/1.1\r\nHost: x\r\nContent-Length: {len(png)}\r\n\r\n"
        with connection(client) as line:
            line.sendall(head.encode() + png)
            wait_until(lambda: metric(client, "faceperc_waiting") >= 1)
        wait_until(lambda: metric(client, 'faceperc_requests_total{route="/v1/faces",status="499"}') == 1)
        detector.gate.set()
        assert first.result().status_code == 200
    assert detector.images == 1


def test_a_bug_is_told_as_one(face_model: Path, png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(face_model, detector=FakeDetector(), threads=1)
    with serving(predictor) as client:
        monkeypatch.setattr(predictor, "batch", lambda *_, **__: 1 / 0)
        answer = client.post("/v1/faces", content=png)
        check_problem(answer, 500, "internal", "a bug of the service")
        assert answer.headers["Cache-Control"] == "no-store"
        monkeypatch.undo()
        assert client.post("/v1/faces", content=png).status_code == 200
        assert metric(client, 'faceperc_requests_total{route="/v1/faces",status="500"}') == 1


def test_a_model_that_fails_is_a_bug_without_details(
    face_model: Path, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(face_model, detector=FakeDetector(), threads=1)
    with serving(predictor) as client:
        monkeypatch.setattr(predictor.model, "run", lambda *_: fail(face_model))
        answer = client.post("/v1/faces", content=png)
        check_problem(answer, 500, "internal", "a bug of the service")
        assert str(face_model) not in answer.text
        monkeypatch.undo()
        assert client.post("/v1/faces", content=png).status_code == 200


def fail(path: Path) -> None:
    raise ModelError(f"{path}: failed")


def test_under_a_prefix_that_stays(predictor: Predictor, png: bytes) -> None:
    """As with `uvicorn --root-path /p`."""
    with serving(predictor, Options(key=KEY), root_path="/p") as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        assert httpx.get(client.base_url.join("/healthz")).status_code == 200
        assert client.post("/v1/faces", content=png).status_code == 200
        wrong = client.post("/v1/faces?task=pose", content=png)
        check_problem(wrong, 422, "wrong-parameter", "did you mean 'tasks'")
        assert metric(client, 'faceperc_requests_total{route="/v1/faces",status="200"}') == 1


def test_pages_of_other_origins(predictor: Predictor, client: httpx.Client, png: bytes) -> None:
    ask = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in client.options("/v1/faces", headers=ask).headers
    with serving(predictor, Options(key=KEY, origins=("https://a.example",))) as open_client:
        allowed = open_client.options(
            "/v1/faces", headers={**ask, "Access-Control-Request-Headers": "authorization"}
        )
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://a.example"
        answer = open_client.post(
            "/v1/faces", content=png, headers={"Origin": ask["Origin"], "Authorization": f"Bearer {KEY}"}
        )
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        stranger = open_client.options("/v1/faces", headers={**ask, "Origin": "https://b.example"})
        assert "access-control-allow-origin" not in stranger.headers


def test_no_image_reaches_the_disk(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))  # a file there would fail
    large = encoded(np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8))
    assert len(large) > 2_000_000
    assert client.post("/v1/faces", files={"image": large}).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [{"workers": 0}, {"queue": 0}, {"max_wait": -1}, {"deadline": 0}, {"key": "short"}, {"key": "a b" * 9}],
)
def test_options_out_of_range(predictor: Predictor, wrong: dict[str, Any]) -> None:
    with pytest.raises(faceperc.errors.UsageError, match=r"is|lies"):
        create_app(predictor, Options(**wrong))
