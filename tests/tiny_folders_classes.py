"""Miniatures of data sets with attributes, masks, expressions, ages: drawn faces in the authors' layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from tiny_pack import SIZE, draw_face, project

from faceperc.heads.attributes import CELEBA_ATTRIBUTES
from faceperc.heads.parsing import CLASSES

#: CelebA's names of the photographs on both sides of its splits' borders, with their split.
BORDERS = {"000001": 0, "162770": 0, "162771": 1, "182637": 1, "182638": 2, "202599": 2}
GLASSES = (slice(30, 36), slice(40, 56))  # rows and columns that CelebAMask-HQ's glasses cover
NECK = (SIZE - 6, SIZE // 2)  # row and column of a pixel below the chin
FRONTAL = project(0, 0, 0)


def face(shade: int = 0) -> Image.Image:
    return draw_face(FRONTAL, shade)


def save(image: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def class_map(points: NDArray[np.float64] = FRONTAL, size: int = SIZE) -> NDArray[np.uint8]:
    """(size, size) indices of CLASSES where 68 points say, left and right the subject's."""
    image = Image.new("L", (size, size))
    pen = ImageDraw.Draw(image)
    middle, up = points.mean(axis=0), points[27] - points[8]
    parts = {
        "hair": np.concatenate([points[17:27], points[26:16:-1] + 0.35 * up]),
        "skin": np.concatenate([points[:17], points[26:16:-1] + 0.05 * up]),
        "right_brow": np.concatenate([points[17:22], points[21:16:-1] - 0.04 * up]),
        "left_brow": np.concatenate([points[22:27], points[26:21:-1] - 0.04 * up]),
        "right_eye": middle + 1.05 * (points[36:42] - middle),
        "left_eye": middle + 1.05 * (points[42:48] - middle),
        "nose": np.array([points[27], points[31], points[35]]),
        "upper_lip": points[[*range(48, 55), 64, 63, 62, 61, 60]] + 0.03 * up,
        "inner_mouth": points[60:68],
        "lower_lip": points[[*range(54, 60), 48, 60, 67, 66, 65, 64]] - 0.03 * up,
    }
    for name, outline in parts.items():
        pen.polygon([tuple(point) for point in outline], fill=CLASSES.index(name))
    return np.array(image)


def viewers(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same map with left and right as the viewer sees them."""
    return np.array([0, 1, 3, 2, 5, 4, *range(6, 256)], np.uint8)[ids]


def celeba_table(columns: tuple[str, ...], rows: dict[str, list[float]]) -> str:
    lines = [f"{name}  {' '.join(f'{value:g}' for value in values)} " for name, values in rows.items()]
    return "\n".join([str(len(rows)), " ".join(columns), *lines]) + "\n"


def attribute_values(index: int) -> list[float]:
    """-1 and 1 in turn; the next photograph the other way round."""
    return [1.0 if (index + k) % 2 else -1.0 for k in range(len(CELEBA_ATTRIBUTES))]


def write_celeba(root: Path, folder: str = "img_align_celeba") -> Path:
    names = [f"{number}.jpg" for number in BORDERS]
    for name in names:
        save(face(), root / "Img" / folder / name)
    answers = {name: attribute_values(index) for index, name in enumerate(names)}
    write(root / "Anno/list_attr_celeba.txt", celeba_table(CELEBA_ATTRIBUTES, answers))
    corners = [FRONTAL[36:42].mean(0), FRONTAL[42:48].mean(0), FRONTAL[30], FRONTAL[48], FRONTAL[54]]
    columns = tuple(f"{part}_{axis}" for part in
                    ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy")  # fmt: skip
    kind = "_align" if "align" in folder else ""
    points = {name: np.concatenate(corners).tolist() for name in names}
    write(root / f"Anno/list_landmarks{kind}_celeba.txt", celeba_table(columns, points))
    persons = "".join(f"{name} {number // 2}\n" for number, name in enumerate(names))
    write(root / "Anno/identity_CelebA.txt", persons)
    parts = "".join(f"{number}.jpg {part}\n" for number, part in BORDERS.items())
    write(root / "Eval/list_eval_partition.txt", parts)
    return root


def write_celebamask_hq(root: Path) -> Path:
    """Photographs of twice the masks' size; the masks' left is the viewer's."""
    mapping = ["idx orig_idx orig_file"]
    answers, poses = {}, {}
    ids = viewers(class_map())
    glasses, neck = np.zeros_like(ids, bool), np.zeros_like(ids, bool)
    glasses[GLASSES], neck[NECK[0] - 3 :, 30:66] = True, True
    named = {"skin": (ids > 0) & (ids < 10), "neck": neck, "eye_g": glasses}
    named |= {"nose": ids == 6, "hair": ids == 10}
    named |= {"l_brow": ids == 2, "r_brow": ids == 3, "l_eye": ids == 4, "r_eye": ids == 5}
    named |= {"u_lip": ids == 7, "mouth": ids == 8, "l_lip": ids == 9}
    for index, original in enumerate(BORDERS):
        number = index + 1998  # the masks of two folders
        mapping.append(f"{number} {int(original) - 1} {original}.jpg")
        answers[f"{number}.jpg"], poses[f"{number}.jpg"] = attribute_values(index), [10.0 * index, -5.0, 3.0]
        save(face().resize((2 * SIZE, 2 * SIZE)), root / f"CelebA-HQ-img/{number}.jpg")
        for part, mask in named.items():
            picture = Image.fromarray(mask).convert("RGB" if part == "skin" else "L")
            save(picture, root / f"CelebAMask-HQ-mask-anno/{number // 2000}/{number:05d}_{part}.png")
    write(root / "CelebA-HQ-to-CelebA-mapping.txt", "\n".join(mapping) + "\n")
    write(root / "CelebAMask-HQ-attribute-anno.txt", celeba_table(CELEBA_ATTRIBUTES, answers))
    write(root / "CelebAMask-HQ-pose-anno.txt", celeba_table(("Yaw", "Pitch", "Raw"), poses))
    return root


def points106() -> NDArray[np.float64]:
    """The contour and brows of the drawn face; the rest somewhere inside."""
    points = np.tile(FRONTAL[30], (106, 1))
    points[:33] = FRONTAL[np.linspace(0, 16, 33).round().astype(int)]
    points[33:38], points[42:47] = FRONTAL[17:22], FRONTAL[22:27]
    points[38:42], points[47:51] = FRONTAL[18:22], FRONTAL[22:26]
    return points


def write_lapa(root: Path) -> Path:
    for split, count in (("train", 2), ("val", 1), ("test", 1)):
        for index in range(count):
            save(face(), root / split / f"images/{index}_0.jpg")
            save(Image.fromarray(viewers(class_map())), root / split / f"labels/{index}_0.png")
            lines = "\n".join(f"{x:.4f} {y:.4f}" for x, y in points106())
            write(root / split / f"landmarks/{index}_0.txt", f"106\n{lines}\n")
    return root


def write_helen(root: Path) -> Path:
    ids = viewers(class_map())
    for number, path in enumerate(("exemplars.txt", "tuning.txt", "testing.txt"), start=1):
        name = f"10003254{number}_1"
        write(root / path, f"{number} , {name}\n")
        save(face(), root / f"images/{name}.jpg")
        for index in range(len(CLASSES)):
            probability = np.where(ids == index, 200, 5).astype(np.uint8)
            save(Image.fromarray(probability), root / f"labels/{name}/{name}_lbl{index:02d}.png")
    return root


def write_affectnet(root: Path) -> Path:
    """Of the two lists the second has no header; numbers 8 to 10 are no expressions."""
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks"
    header += ",expression,valence,arousal"
    points = ";".join(f"{value:.2f}" for value in FRONTAL.ravel())
    for path, head, classes in (("training.csv", header, (0, 7, 8, 10, 3)), ("validation.csv", None, (6, 9))):
        lines = [head] if head else []
        for index, number in enumerate(classes):
            name = f"{index}/{path[:5]}{index}.jpg"
            save(face(), root / "Manually_Annotated_Images" / name)
            lines.append(f"{name},10,10,70,70,{points},{number},-0.25,{0.1 * index:.1f}")
        write(root / "Manually_Annotated_file_lists" / path, "\n".join(lines) + "\n")
    return root


def write_affectnet_npy(root: Path) -> Path:
    for folder, classes in (("train_set", ("0", "7")), ("val_set", ("3",))):
        for index, number in enumerate(classes):
            save(face(), root / folder / f"images/{index}.jpg")
            (root / folder / "annotations").mkdir(exist_ok=True)
            labels = {"exp": np.array(number), "val": np.array("-0.5"), "aro": np.array("0.5")}
            for part, value in (labels | {"lnd": FRONTAL.ravel()}).items():
                np.save(root / folder / f"annotations/{index}_{part}.npy", value)
    return root


def write_raf_db(root: Path, aligned: bool = True) -> Path:
    lines = []
    for name, number in (("train_00001", 5), ("train_00002", 1), ("test_0001", 7)):
        lines.append(f"{name}.jpg {number}")
        if aligned:
            save(face(), root / f"basic/Image/aligned/{name}_aligned.jpg")
        else:
            save(face(), root / f"basic/Image/original/{name}.jpg")
            write(root / f"basic/Annotation/boundingbox/{name}_boundingbox.txt", "12.5 20.0 80.0 90.5 \n")
    write(root / "basic/EmoLabel/list_patition_label.txt", "\n".join(lines) + "\n")
    return root


#: Usage, FER-2013's number, FER+'s votes (neutral, happiness, surprise, sadness, anger, disgust, fear,
#: contempt, unknown, no face).
FER_ROWS = (
    ("Training", 0, (4, 0, 0, 1, 3, 2, 0, 0, 0, 0)),
    ("Training", 3, (0, 0, 0, 0, 0, 0, 0, 0, 0, 10)),
    ("Training", 6, (0, 10, 0, 0, 0, 0, 0, 0, 0, 0)),
    ("PublicTest", 4, (4, 0, 0, 6, 0, 0, 0, 0, 0, 0)),
    ("PrivateTest", 1, (0, 0, 0, 0, 0, 9, 0, 1, 0, 0)),
)


def write_fer2013(root: Path) -> Path:
    lines = ["emotion,pixels,Usage"]
    for index, (usage, number, _) in enumerate(FER_ROWS):
        pixels = np.asarray(face(40 * index).convert("L").resize((48, 48))).ravel()
        lines.append(f"{number},{' '.join(map(str, pixels))},{usage}")
    write(root / "fer2013.csv", "\n".join(lines) + "\n")
    return root


def write_ferplus(root: Path) -> Path:
    write_fer2013(root)
    names = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    lines = [f"Usage,Image name,{names}"]
    for index, (usage, _, votes) in enumerate(FER_ROWS):
        lines.append(f"{usage},fer{index:07d}.png,{','.join(map(str, votes))}")
    write(root / "fer2013new.csv", "\n".join(lines) + "\n")
    return root


def write_fer2013_folders(root: Path) -> Path:
    for split in ("train", "test"):
        for name in ("angry", "sad"):
            save(face().convert("L").resize((48, 48)), root / split / name / "PrivateTest_1.jpg")
    return root


def write_utkface(root: Path) -> Path:
    """The race is missing in the last name."""
    for name in ("26_0_4_20170104165327281", "80_1_1_20170110131953974", "61_1_20170109142408075"):
        save(face(), root / f"UTKFace/{name}.jpg").rename(root / f"UTKFace/{name}.jpg.chip.jpg")
    return root


def write_fairface(root: Path) -> Path:
    rows = {"train": ("3-9,Female,Indian", "more than 70,Male,Black"), "val": ("20-29,Male,East Asian",)}
    for split, labels in rows.items():
        lines = ["file,age,gender,race,service_test"]
        for index, label in enumerate(labels, start=1):
            save(face(), root / f"fairface-img-margin025-trainval/{split}/{index}.jpg")
            lines.append(f"{split}/{index}.jpg,{label},True")
        write(root / f"fairface_label_{split}.csv", "\n".join(lines) + "\n")
    return root
