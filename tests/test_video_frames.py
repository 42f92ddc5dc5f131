"""Sources of frames: times, upright pictures, limits, and what is told when something is lost or wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("av")
from tiny_video import FPS, RedDetector, build_red_model, read_video, red_clip, write_video

from faceperc import Predictor
from faceperc.errors import ImageError, UsageError
from faceperc.video import decode
from faceperc.video.decode import newest
from faceperc.video.frames import MAX_FPS, MIN_FPS, Frame, open_source, without_password
from faceperc.video.write import VideoWriter

Pixels = NDArray[np.uint8]


def pictures(count: int, size: tuple[int, int] = (64, 48)) -> list[Pixels]:
    """Frames with a red corner at the top left, a green one at the top right, and noise between."""
    width, height = size
    random = np.random.default_rng(0)
    images = []
    for _ in range(count):
        image = random.integers(60, 120, (height, width, 3), dtype=np.uint8)
        image[:12, :16] = (250, 0, 0)
        image[:12, -16:] = (0, 250, 0)
        images.append(image)
    return images


def read(source: Any, **options: Any) -> tuple[list[Frame], str | None]:
    with open_source(source, **options) as frames:
        return list(frames), frames.lost


def test_file__times_and_pictures(tmp_path: Path) -> None:
    images = pictures(30)
    path = write_video(tmp_path / "a.mp4", images)
    with open_source(path) as source:
        assert source.name == str(path) and source.total == 30 and not source.is_live
        assert float(source.rate) == pytest.approx(30, rel=0.01)
        frames = list(source)
    assert [frame.time for frame in frames] == pytest.approx([i / 30 for i in range(30)], abs=1e-3)
    assert source.lost is None and frames[0].image.flags.c_contiguous
    for frame, image in zip(frames, images, strict=True):
        assert np.abs(frame.image[2:10, 2:12].astype(int) - image[2:10, 2:12]).mean() < 20


def test_file__variable_frame_rate(tmp_path: Path) -> None:
    times = np.cumsum([0.0, *np.random.default_rng(0).choice([0.01, 0.04, 0.5], 19)]).tolist()
    for name in ("a.mp4", "a.mkv"):
        frames, lost = read(write_video(tmp_path / name, pictures(20), times))
        assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-3) and lost is None


def test_file__times_that_begin_anew_go_on(tmp_path: Path) -> None:
    """Two recordings in one file, as of a camera that was switched off between."""
    path = write_video(tmp_path / "a.ts", pictures(10), form="mpegts")
    path.write_bytes(path.read_bytes() * 2)
    frames, _ = read(path)
    steps = np.diff([frame.time for frame in frames])
    assert len(frames) == 20 and steps == pytest.approx(np.full(19, 1 / 30), abs=2e-3)


@pytest.mark.parametrize(
    "rotation, corners", [(0, ("tl", "tr")), (90, ("bl", "tl")), (180, ("br", "bl")), (-90, ("tr", "br"))]
)
def test_file__rotated_video_is_upright(tmp_path: Path, rotation: int, corners: tuple[str, str]) -> None:
    frames, _ = read(write_video(tmp_path / "a.mp4", pictures(3), rotation=rotation))
    image = frames[0].image
    assert image.shape[:2] == ((48, 64) if rotation in (0, 180) else (64, 48))
    places = {"tl": image[4, 4], "tr": image[4, -5], "bl": image[-5, 4], "br": image[-5, -5]}
    red, green = (places[corner].astype(int) for corner in corners)
    assert red[0] > 180 and red[1] < 90 and green[1] > 150 and green[0] < 90


def test_file__pixels_are_made_square(tmp_path: Path) -> None:
    """As of a DVD: the file has narrow pixels to be shown twice as wide, here in a turned picture too."""
    for rotation, shape in ((0, (48, 128, 3)), (90, (128, 48, 3))):
        path = write_video(tmp_path / "a.mp4", pictures(2), rotation=rotation, aspect=Fraction(2))
        assert {frame.image.shape for frame in read(path)[0]} == {shape}
        with pytest.raises(ImageError, match="too large: 128 x 48"):
            read(path, max_pixels=64 * 48)


def test_file__truncated_tells_what_is_lost(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(60), options={"movflags": "faststart"})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    frames, lost = read(path)
    assert 15 < len(frames) < 45 and frames[-1].time == pytest.approx((len(frames) - 1) / 30, abs=2e-3)
    assert lost is not None and str(path) in lost and "missing" in lost


def test_file__damaged_frames_are_skipped_and_told(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(30), options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    middle = len(data) * 2 // 3
    data[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    path.write_bytes(data)
    frames, lost = read(path)
    assert 20 <= len(frames) < 30 and lost is not None and "damaged frame" in lost
    times = [frame.time for frame in frames]
    assert times == sorted(set(times)) and times[-1] == pytest.approx(29 / 30, abs=2e-3)


def test_stream_warns_of_what_was_lost(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(60), options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-4000])
    predictor = Predictor(build_red_model(tmp_path / "red.onnx"), detector=RedDetector(), threads=1)
    with pytest.warns(RuntimeWarning, match=r"a\.mp4: .*(damaged|missing)"):
        assert len(list(predictor.stream(path))) > 20


def test_file__limit_on_pixels(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(2))
    assert len(read(path, max_pixels=64 * 48)[0]) == 2
    with pytest.raises(ImageError, match=r"a\.mp4: is too large: 64 x 48 pixels"):
        read(path, max_pixels=64 * 48 - 1)


@pytest.mark.parametrize(
    "content, message",
    [(None, "no such file"), (b"", "cannot be opened"), (b"not a video" * 100, "cannot be opened")],
)
def test_file__bad(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as error:
        open_source(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["a.txt", "a.nfo", "a.bin"])
def test_file__a_text_is_no_video(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("It was a dark and stormy night.\n" * 200)
    with pytest.raises(ImageError, match=rf"{name}: (holds no video|cannot be opened)"):
        open_source(tmp_path / name)


def test_file__a_sound_with_a_cover_is_no_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        sound, cover = container.add_stream("aac", rate=44100), container.add_stream("png", rate=1)
        cover.width = cover.height = 64
        cover.pix_fmt = "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        quiet = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        quiet.rate = 44100
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
        for stream, frame in ((cover, picture), (sound, quiet)):
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    with pytest.raises(ImageError, match=r"a\.mp4: holds no video"):
        open_source(path)


def test_file__a_playlist_reaches_no_network(tmp_path: Path) -> None:
    import socket

    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.3)
    host = f"http://127.0.0.1:{server.getsockname()[1]}"
    path = tmp_path / "a.m3u8"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{host}/a.ts\n#EXT-X-ENDLIST\n")
    with server, pytest.raises(ImageError):
        read(path)
    with pytest.raises((TimeoutError, OSError)):
        server.accept()


def test_folder(tmp_path: Path) -> None:
    for name, value in (("b.png", 20), ("a.png", 10), ("c.jpg", 30)):
        Image.new("RGB", (20, 10), (value,) * 3).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    frames, lost = read(tmp_path, fps=10)
    assert [int(frame.image.mean()) for frame in frames] == [10, 20, 30] and lost is None
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2])


def test_folder__order_and_names(tmp_path: Path) -> None:
    for name in ("f10.png", "f2.png", "f1.png", "f02.png", "._f3.png", "g.png"):
        Image.new("RGB", (20, 10)).save(tmp_path / name)
    with open_source(tmp_path) as source:
        assert source.total == 5
        names = [frame.source for frame in source]
    assert names == [str(tmp_path / f"{name}.png") for name in ("f1", "f02", "f2", "f10", "g")]


def test_folder__an_image_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (20, 10)).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"broken")
    frames, lost = read(tmp_path)
    assert [frame.time for frame in frames] == pytest.approx([0, 2 / 25])  # the others keep their times
    assert lost is not None and "b.png" in lost
    for name in ("a.png", "c.png"):
        (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(ImageError, match="not one image"):
        read(tmp_path)


def test_folder__empty(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="holds no images"):
        open_source(tmp_path)


def test_memory__arrays_and_pictures_and_generators() -> None:
    images = pictures(3)
    for source in (images, np.stack(images), [Image.fromarray(each) for each in images], iter(images)):
        frames, _ = read(source, fps=12.5)
        assert [frame.time for frame in frames] == pytest.approx([0, 0.08, 0.16])
        np.testing.assert_array_equal(frames[2].image, images[2])


@pytest.mark.parametrize(
    "frames, error, message",
    [
        ([pictures(1)[0], "no frame"], UsageError, "frame 1 is a str"),
        ([pictures(1)[0].astype(float)], ImageError, "frame 0: .*uint8"),
        ([np.zeros((100, 100, 3), np.uint8)] * 2, ImageError, "frame 0: .*too large"),
    ],
)
def test_memory__bad_frames(frames: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read(frames, max_pixels=5000)


@pytest.mark.parametrize("source", [None, 1.5, True, b"bytes", Image.new("RGB", (9, 9)), np.zeros((9, 9, 3))])
def test_no_source(source: Any) -> None:
    with pytest.raises(UsageError):
        open_source(source)


@pytest.mark.parametrize("fps", [1e-4, 1 / 3600, 0.3, 29.97, 1e5, 1e6])
def test_rates(fps: float, tmp_path: Path) -> None:
    images = pictures(3)
    assert MIN_FPS <= fps <= MAX_FPS
    with open_source(images, fps) as source, VideoWriter(tmp_path / "a.mp4", source.rate) as writer:
        for index, frame in enumerate(source):
            assert frame.time == pytest.approx(index / fps, rel=1e-3)
            writer.write(frame.image, frame.pts, frame.time_base)
    times = [time for time, _ in read_video(tmp_path / "a.mp4")]
    assert times == pytest.approx([0, 1 / fps, 2 / fps], rel=1e-3)


@pytest.mark.parametrize("fps", [0, -1, 1e-9, 1e300, float("nan"), float("inf"), "25", 1j])
def test_bad_rate(fps: Any) -> None:
    with pytest.raises(UsageError, match="fps"):
        open_source(pictures(1), fps)


def test_urls() -> None:
    with pytest.raises(UsageError, match="unknown scheme"):
        open_source("file:///etc/passwd")
    with pytest.raises(ImageError, match=r"rtsp://127\.0\.0\.1:1/a: cannot be opened") as error:
        open_source("rtsp://user:secret@127.0.0.1:1/a")
    assert "secret" not in str(error.value)
    assert without_password("rtsp://user:secret@host:5/a?b=c") == "rtsp://host:5/a?b=c"


def test_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def note(location: str, name: str, max_pixels: int, **options: Any) -> Any:
        opened.append((location, name, options["form"]))

    monkeypatch.setattr(decode, "_Video", note)
    monkeypatch.setattr(decode.sys, "platform", "linux")
    open_source(0)
    open_source("2")
    with pytest.raises(ImageError, match="no such file"):
        open_source(Path("2"))  # a path is a path
    monkeypatch.setattr(decode.sys, "platform", "darwin")
    open_source(1)
    assert opened == [
        ("/dev/video0", "camera 0", "v4l2"),
        ("/dev/video2", "camera 2", "v4l2"),
        ("1:none", "camera 1", "avfoundation"),
    ]
    with pytest.raises(UsageError, match="0 or more"):
        open_source(-1)
    monkeypatch.setattr(decode.sys, "platform", "win32")
    with pytest.raises(UsageError, match="win32"):
        open_source(0)


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(1))
    monkeypatch.setitem(decode.sys.modules, "av", None)
    with pytest.raises(UsageError, match=r'pip install "faceperc\[video\]"'):
        open_source(path)
    assert len(read(pictures(2))[0]) == 2  # frames in memory need it not


def test_newest__old_frames_are_left_out() -> None:
    """A camera that gives ten frames while one is worked on."""
    may_go, all_given = threading.Event(), threading.Event()

    def camera() -> Iterator[int]:
        yield 0
        may_go.wait(5)
        yield from range(1, 11)
        all_given.set()

    frames = newest(camera())
    assert next(frames) == 0
    may_go.set()
    assert all_given.wait(5)
    assert list(frames) == [10]


def test_newest__what_the_source_raises_is_raised() -> None:
    def camera() -> Iterator[int]:
        yield 0
        raise ImageError("unplugged")

    with pytest.raises(ImageError, match="unplugged"):
        list(newest(camera()))


def test_newest__lets_go_of_its_source() -> None:
    running = threading.active_count()
    frames = newest(iter(range(10**9)))
    next(frames)
    frames.close()
    assert threading.active_count() == running


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_write__times_and_odd_sizes(tmp_path: Path, name: str) -> None:
    path, times = tmp_path / name, [0, 10, 55, 400, 410]
    with VideoWriter(path, Fraction(30)) as writer:
        for pts, image in zip(times, pictures(5, (65, 49)), strict=True):
            writer.write(image, pts, Fraction(1, 1000))
        assert not path.exists()
    frames = read_video(path)
    assert [time for time, _ in frames] == pytest.approx([each / 1000 for each in times], abs=1e-6)
    assert frames[0][1].shape == (50, 66, 3) and frames[0][1][4, 4, 0] > 180
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("size", [(64, 48), (1280, 720)])
def test_write__the_file_says_how_its_colours_are_coded(tmp_path: Path, size: tuple[int, int]) -> None:
    """Players guess by the size where it does not."""
    import av

    path, colour = tmp_path / "a.mp4", np.array([0, 200, 0], np.uint8)
    with VideoWriter(path, Fraction(25)) as writer:
        for pts in (0, 40, 1000, 5000, 5010, 9000):
            writer.write(np.full((size[1], size[0], 3), colour), pts, Fraction(1, 1000))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        context = stream.codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (
            1,
        ) * 4
        assert abs(int(frame.to_ndarray()[0, 0]) - 139) <= 2  # Y of BT.709; of BT.601 it is 117
        assert abs(frame.reformat(format="rgb24").to_ndarray()[5, 5].astype(int) - colour).max() <= 2
        assert float(stream.duration * stream.time_base) >= 9  # also where the frames' times are uneven


def test_write__nothing_and_bad_targets(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", Fraction(30)):
        pass
    assert not list(tmp_path.iterdir())
    for target, rate, message in (
        (tmp_path / "a.avi", 30, "cannot write"),
        (tmp_path / "no" / "a.mp4", 30, "no such folder"),
        (tmp_path / "a.mkv", 5000, "at most 1000 fit in"),
    ):
        with pytest.raises(UsageError, match=message):
            VideoWriter(target, Fraction(rate))


def test_write__an_error_keeps_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(RuntimeError), VideoWriter(path, Fraction(30)) as writer:
        for pts, image in enumerate(pictures(4)):
            writer.write(image, pts, Fraction(1, FPS))
        raise RuntimeError
    assert len(read_video(path)) == 4


def test_red_clips_survive_the_codec(tmp_path: Path) -> None:
    """What the other tests of video rest on: a face in a file is found as one in memory is."""
    images = [frame.image for frame in red_clip([lambda t: (60 + 60 * t, 80)], 0.5)]
    predictor = Predictor(build_red_model(tmp_path / "red.onnx"), detector=RedDetector(), threads=1)
    found = list(predictor.stream(write_video(tmp_path / "a.mp4", images)))
    assert [[face.track for face in faces] for faces in found] == [[1]] * 15
    assert found[-1].source == str(tmp_path / "a.mp4")
