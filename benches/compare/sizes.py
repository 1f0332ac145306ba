"""How large the packages are: the wheel, and the native library in it."""

import os
import zipfile


def measure(rig):
    wheels = [os.path.getsize(side.wheel) / 1e6 for side in rig.sides]
    libraries = [_library_bytes(side.wheel) / 1e6 for side in rig.sides]
    rig.less("native library", *libraries, "MB", 3)
    rig.less("wheel", *wheels, "MB", 3)


def _library_bytes(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [library] = [entry for entry in archive.infolist() if entry.filename.endswith(".so")]
        return library.file_size
