"""Files for the user's disk."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

from django import http

from swanherd_client.peers.words import File


def as_download(files: Sequence[File], name: str) -> http.HttpResponse:
    """Return one file as it is, several in a zip; nothing on the way may keep it."""
    if len(files) == 1:
        body, name, kind = files[0].text.encode(), files[0].name, "text/plain; charset=utf-8"
    else:
        body, name, kind = _zipped(files), f"{name}.zip", "application/zip"
    answer = http.HttpResponse(body, content_type=kind)
    answer["Content-Disposition"] = http.response.content_disposition_header(True, name)
    answer["Cache-Control"] = "no-store"
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


def _zipped(files: Sequence[File]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.writestr(file.name, file.text)
    return buffer.getvalue()
