#!/usr/bin/env python3
"""Pack static programs as a container image, without Docker.

The image holds the programs and nothing else, as the Dockerfile's does: no shell, no libraries, no user database. It
runs as a user of its own, never as root. The same input gives the same bytes.

The archive is written to standard output in the form of `docker save`; `ctr images import`, `docker load`,
`podman load` and `kind load image-archive` take it.

usage: image.py NAME:TAG ARCHITECTURE PROGRAM... >IMAGE.tar

The first program is the entry point.
"""

import hashlib
import io
import json
import os
import sys
import tarfile

# Nothing else on a node has this number; distroless images call it "nonroot".
USER = "65532:65532"


def tar(files):
    """A tar archive of (path, bytes, mode), with nothing in it that depends on when or by whom it is made."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, data, mode in files:
            info = tarfile.TarInfo(path)
            info.size, info.mode, info.mtime = len(data), mode, 0
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def image(name, architecture, programs):
    """The whole archive."""
    files = []
    for program in programs:
        with open(program, "rb") as file:
            files.append((os.path.basename(program), file.read(), 0o755))
    layer = tar(files)
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Entrypoint": ["/" + files[0][0]],
                "WorkingDir": "/",
                "User": USER,
            },
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]},
            "history": [{"created_by": "scripts/image.py"}],
        }
    ).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    return tar(
        [
            (config_name, config, 0o644),
            ("layer.tar", layer, 0o644),
            ("manifest.json", json.dumps(manifest).encode(), 0o644),
        ]
    )


def main():
    arguments = sys.argv[1:]
    if len(arguments) < 3:
        sys.exit(__doc__)
    if sys.stdout.isatty():
        sys.exit("image.py: the archive is no text; write it into a file with >IMAGE.tar")
    name, architecture, *programs = arguments
    sys.stdout.buffer.write(image(name, architecture, programs))


main()
