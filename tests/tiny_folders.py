"""Miniatures of public data sets in their authors' layouts: drawn faces, labels in the original formats.

Each writer takes the folder to fill and returns what it drew: image's path in the folder -> (68, 2) points.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageOps
from scipy.io import savemat
from tiny_pack import SIZE as SMALL
from tiny_pack import draw_face, project

from faceperc.crop import box_from_landmarks
from faceperc.rotations import matrix_from_angles

Array = NDArray[np.float64]
Drawn = dict[str, Array]

ZOOM = 4
SIZE = ZOOM * SMALL  # side of the images, pixels
#: Yaw, pitch, roll of the faces, taken in turn.
POSES = ((0.0, 0.0, 0.0), (35.0, 0.0, 0.0), (-35.0, 10.0, 0.0), (0.0, -20.0, 15.0))


def write_image(path: Path, pose: tuple[float, float, float]) -> Array:
    """Draw a face; (68, 2) where its points are."""
    points = project(*pose)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = draw_face(points, 90).resize((SIZE, SIZE), Image.Resampling.NEAREST)
    image.save(path, quality=95, subsampling=0)
    return points * ZOOM + (ZOOM - 1) / 2


def write_pts(path: Path, points: Array) -> None:
    rows = "\n".join(f"{x:.4f} {y:.4f}" for x, y in points + 1)
    path.write_text(f"version: 1\nn_points:  {len(points)}\n{{\n{rows}\n}}\n")


def write_300w(root: Path) -> Drawn:
    names = (
        "afw/134212_1.jpg", "afw/134212_2.jpg", "helen/trainset/100032540_1.jpg",
        "lfpw/trainset/image_0001.png", "helen/testset/296814969_3.jpg", "lfpw/testset/image_0001.png",
        "ibug/image_003_1.jpg", "300W/01_Indoor/indoor_001.png", "300W/02_Outdoor/outdoor_001.png",
    )  # fmt: skip
    drawn = {}
    for index, name in enumerate(names):
        drawn[name] = write_image(root / name, POSES[index % len(POSES)])
        write_pts((root / name).with_suffix(".pts"), drawn[name])
    return drawn


def pose_para(yaw: float, pitch: float, roll: float) -> Array:
    return np.array([[*np.radians([pitch, yaw, roll]), 120.0, 130.0, -60.0, 1e-3]])


def write_300w_lp(root: Path) -> Drawn:
    names = {
        "AFW": "AFW_134212_1", "HELEN": "HELEN_100032540_1", "IBUG": "IBUG_image_003_1",
        "LFPW": "LFPW_image_train_0001",
    }  # fmt: skip
    drawn = {}
    for folder, name in names.items():
        original = project(*POSES[0]) * ZOOM + 2.5  # where the points were before the face was turned
        for view, (yaw, pitch, roll) in enumerate(POSES):
            path = root / folder / f"{name}_{view}.jpg"
            points = write_image(path, (yaw, pitch, roll))
            drawn[f"{folder}/{path.name}"] = points
            content = {
                "Pose_Para": pose_para(yaw, pitch, roll),
                "pt2d": original.T,
                "roi": [[1, 1, 450, 450]],
            }
            savemat(path.with_suffix(".mat"), content)
            marks = root / "landmarks" / folder / f"{path.stem}_pts.mat"
            marks.parent.mkdir(parents=True, exist_ok=True)
            savemat(marks, {"pts_2d": points + 1, "pts_3d": original})
            flipped = root / f"{folder}_Flip" / path.name
            flipped.parent.mkdir(exist_ok=True)
            with Image.open(path) as image:
                ImageOps.mirror(image).save(flipped, quality=95, subsampling=0)
            content = {"Pose_Para": pose_para(-yaw, pitch, -roll), "pt2d": original.T}
            savemat(flipped.with_suffix(".mat"), content)
            drawn[f"{folder}_Flip/{path.name}"] = project(-yaw, pitch, -roll) * ZOOM + (ZOOM - 1) / 2
    return drawn


def points98(points: Array) -> Array:
    """(98, 2) WFLW points of a face with these (68, 2)."""

    def along(line: tuple[int, ...], places: ArrayLike) -> Array:
        axes = (np.interp(places, np.arange(len(line)), points[list(line), axis]) for axis in (0, 1))
        return np.stack(list(axes), axis=-1)

    brow = np.array([0.0, 8.0])
    quarters = 0.75 * np.arange(5)
    parts = [along(tuple(range(17)), np.arange(33) / 2)]
    for upper in (points[17:22], points[22:27]):
        parts += [upper, upper[3::-1] + brow]
    parts.append(points[27:36])
    for lids in ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47)):
        parts += [along(lids[:4], quarters), along((*lids[3:], lids[0]), quarters[1:4])]
    parts += [points[48:68], points[36:42].mean(0)[None], points[42:48].mean(0)[None]]
    return np.concatenate(parts)


def write_wflw(root: Path) -> Drawn:
    drawn = {}
    lists = root / "WFLW_annotations/list_98pt_rect_attr_train_test"
    lists.mkdir(parents=True)
    for split, names in (
        (
            "train",
            ("0--Parade/0_Parade_marchingband_1_116.jpg", "37--Soccer/37_Soccer_soccer_ball_37_45.jpg"),
        ),
        ("test", ("7--Cheering/7_Cheering_Cheering_7_16.jpg", "2--Demonstration/2_Demonstration_2_9.jpg")),
    ):
        lines = []
        for index, name in enumerate(names):
            points = write_image(root / "WFLW_images" / name, POSES[index])
            drawn[f"WFLW_images/{name}"] = points
            numbers = " ".join(f"{value:.6f}" for value in points98(points).ravel())
            flags = "1 0 0 0 1 0" if index else "0 0 0 0 0 0"  # pose and occlusion
            lines.append(f"{numbers} 10 10 300 300 {flags} {name}")
        (lists / f"list_98pt_rect_attr_{split}.txt").write_text("\n".join(lines) + "\n")
    return drawn


def points29(points: Array) -> Array:
    """(29, 2) COFW points of a face with these (68, 2)."""
    pick = [17, 26, 21, 22, 19, 19, 24, 24, 36, 45, 39, 42, 37, 41, 44, 46]
    pupils = [points[36:42].mean(0), points[42:48].mean(0)]
    return np.concatenate([points[pick], pupils, points[[31, 35, 30, 33, 48, 54, 51, 62, 66, 57, 8]]])


def write_cofw(root: Path) -> Drawn:
    """As MATLAB 7.3 lays it out: arrays transposed, cells as references."""
    import h5py

    drawn = {}
    root.mkdir(parents=True, exist_ok=True)
    for split, suffix in (("train", "Tr"), ("test", "T")):
        name = f"COFW_{split}_color.mat"
        with h5py.File(root / name, "w") as file:
            cells, rows = [], []
            for index, pose in enumerate(POSES[:3]):
                path = root / "drawn.png"
                drawn[f"{name} row {index}"] = points = write_image(path, pose)
                with Image.open(path) as image:
                    pixels = np.asarray(image.convert("L") if index == 2 else image)
                path.unlink()
                cells.append(file.create_dataset(f"#refs#/{index}", data=pixels.T).ref)
                flags = np.arange(29) % 2 == index % 2
                rows.append(np.concatenate([*(points29(points) + 1).T, flags]))
            cell = file.create_dataset(f"Is{suffix}", (1, len(cells)), dtype=h5py.ref_dtype)
            cell[0] = cells
            file.create_dataset(f"phis{suffix}", data=np.array(rows).T)
            file.create_dataset(f"bboxes{suffix}", data=np.ones((4, len(cells))))
    return drawn


def write_aflw2000(root: Path) -> Drawn:
    drawn = {}
    for index, pose in enumerate((*POSES, (20.0, 0.0, 120.0))):  # the last one is beyond 99 degrees
        name = f"image{index:05}.jpg"
        drawn[name] = points = write_image(root / name, pose)
        content = {
            "Pose_Para": pose_para(*pose),
            "pt3d_68": np.vstack([points.T + 1, np.zeros(68)]),
            "pt2d": np.full((2, 21), -1.0),
        }
        savemat((root / name).with_suffix(".mat"), content)
    return drawn


def write_biwi(root: Path) -> Drawn:
    """Cameras far away, so that perspective hardly shows; that for colour is 25 mm beside that for depth."""
    drawn = {}
    flip = np.diag([1.0, -1.0, -1.0])  # the Kinect's axes: y down, z away from the camera
    focal = 3000 * 4.0 * ZOOM / 10  # at 3 metres a centimetre is as large as the faces are drawn
    calibration = (
        f"{focal} 0 {(SIZE - 1) / 2}\n0 {focal} {(SIZE - 1) / 2}\n0 0 1\n\n0 0 0 0\n\n"
        f"1 0 0\n0 1 0\n0 0 1\n\n25 0 0\n\n{SIZE} {SIZE}\n"
    )
    for number in range(1, 25):
        pose = POSES[number % len(POSES)]
        name = f"{number:02}/frame_00003_rgb.png"
        drawn[name] = write_image(root / name, pose)
        (root / f"{number:02}/rgb.cal").write_text(calibration)
        rotation = flip @ matrix_from_angles(*pose) @ flip
        rows = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in rotation)
        (root / f"{number:02}/frame_00003_pose.txt").write_text(f"{rows}\n\n-25.0 0.0 3000.0\n")
    return drawn


def write_pointing04(root: Path) -> Drawn:
    drawn = {}
    for person in range(1, 16):
        for series, (tilt, pan) in enumerate(((0, 30), (-15, 0)), start=1):
            stem = f"Person{person:02}/person{person:02}{series}46{tilt:+}{pan:+}"
            drawn[f"{stem}.jpg"] = points = write_image(root / f"{stem}.jpg", (pan, tilt, 0))
            x0, y0, x1, y1 = box_from_landmarks(points)
            numbers = "\n".join(str(round(v)) for v in ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0))
            (root / f"{stem}.txt").write_text(f"{Path(stem).name}.jpg\n\nFace\n{numbers}\n")
    return drawn


WRITERS: dict[str, Callable[[Path], Drawn]] = {
    "300w": write_300w,
    "300w-lp": write_300w_lp,
    "wflw": write_wflw,
    "cofw": write_cofw,
    "aflw2000": write_aflw2000,
    "biwi": write_biwi,
    "pointing04": write_pointing04,
}
