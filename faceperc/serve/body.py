"""The image file of a request, and nothing that is larger than it may be."""

from __future__ import annotations

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File, create_form_parser, parse_options_header

from faceperc.errors import ImageError, ImageFormatError, ImageTooLargeError
from faceperc.image import image_size
from faceperc.serve.options import Options
from faceperc.serve.problem import Refusal

FORM = "multipart/form-data"
FIELD = "image"
FORM_SPACE = 10_000  # bytes that a form may have besides the file
MAX_PARTS = 50  # of a form; each costs time, and a small body can hold a million
# libjpeg goes over all pixels once for each scan of a progressive file. Programs write about ten; a small
# file can hold thousands and take minutes.
MAX_SCANS = 100
SCAN = b"\xff\xda"

#: The body, for OpenAPI.
REQUEST_BODY = {
    "required": True,
    "description": f"An image file: JPEG, PNG, WebP, ...; or a form with the file in the field '{FIELD}'.",
    "content": {
        "image/*": {"schema": {"type": "string", "format": "binary"}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        FORM: {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {FIELD: {"type": "string", "format": "binary"}},
            }
        },
    },
}


async def read_body(request: Request, options: Options) -> bytes:
    """The bytes of the image. They stay in memory and are never written to a file.

    Raises:
        Refusal: if there are none, too many, or the form has no such field.
        ClientDisconnect: if the client has gone.
    """
    is_form = request.headers.get("content-type", "").lower().startswith(FORM)
    limit = options.max_bytes + (FORM_SPACE if is_form else 0)
    try:
        declared = int(request.headers.get("content-length", 0))
    except ValueError:
        declared = 0  # the server has refused it already
    if declared > limit:
        raise _too_many(options)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise _too_many(options)
    data = _form_file(bytes(body), request.headers["content-type"]) if is_form else bytes(body)
    if len(data) > options.max_bytes:
        raise _too_many(options)
    if not data:
        raise Refusal(422, "no-image", f"the body is empty; send an image file, or the form field '{FIELD}'")
    return data


def check_header(data: bytes, options: Options) -> None:
    """Check an image by what its header says, before it waits and is decoded.

    Raises:
        Refusal: if it is no image, or has too many pixels.
    """
    try:
        image_size(data, max_pixels=options.max_pixels)
    except ImageError as error:
        raise image_refusal(error, options) from error
    if data.startswith(b"\xff\xd8") and data.count(SCAN) > MAX_SCANS:
        raise Refusal(422, "damaged-image", f"the JPEG has more than {MAX_SCANS} scans; save it again")


def image_refusal(error: ImageError, options: Options) -> Refusal:
    """What is said of an image that cannot be read."""
    if isinstance(error, ImageTooLargeError):
        detail = f"the image has more than {options.max_pixels:,} pixels, which is the limit here; shrink it"
        return Refusal(413, "too-many-pixels", detail)
    detail = f"the file {str(error).partition(': ')[2]}"  # without the name, which the client did not give
    if isinstance(error, ImageFormatError):
        return Refusal(415, "no-image", detail)
    return Refusal(422, "damaged-image", detail)


def _too_many(options: Options) -> Refusal:
    detail = f"the file has more than {options.max_bytes:,} bytes, which is the limit here; shrink it"
    # The connection stays: the server throws away what still comes, for many clients send all before they
    # read, and would see a broken connection instead of the reason.
    return Refusal(413, "too-many-bytes", detail)


def _form_file(body: bytes, content_type: str) -> bytes:
    files: dict[str, bytes] = {}
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if body.count(b"--" + boundary) > MAX_PARTS + 1:  # and the end
        raise Refusal(422, "damaged-form", f"the form has more than {MAX_PARTS} parts; send the image alone")

    def keep(file: File) -> None:
        file.file_object.seek(0)
        files[(file.field_name or b"").decode("utf-8", "replace")] = file.file_object.read()

    try:
        parser = create_form_parser(
            {"Content-Type": content_type.encode("latin-1")},
            on_field=None,
            on_file=keep,
            config={"MAX_MEMORY_FILE_SIZE": len(body) + 1},  # else it writes large ones to the disk
        )
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise Refusal(422, "damaged-form", f"the form cannot be read: {error}") from error
    if FIELD not in files:
        given = f"it has the files {', '.join(map(repr, files))}" if files else "it has no file"
        raise Refusal(422, "no-image", f"the form has no file in the field '{FIELD}'; {given}")
    return files[FIELD]
