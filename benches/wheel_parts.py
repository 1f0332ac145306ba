"""What the native module of a wheel consists of, by the names of its symbols, as the rows of a table: each part's
bytes, and what they deflate to by themselves.

    CARGO_PROFILE_WHEEL_STRIP=none pip wheel --no-deps ./python && python3 benches/wheel_parts.py *.whl
"""

import collections
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib

#: The first that the demangled name matches. The tool comes first: what others instantiate for it is its own.
PARTS = (
    ("the tool's own code", r"spotflow_device::tool"),
    ("clap, the tool's command line", r"clap_"),
    ("Brotli: encoder, without its tables", r"\bbrotli::(?!.*(LUT|lut|logs_|kStatic|dictionary_hash))"),
    ("Brotli: tables of the encoder", r"\bbrotli::"),
    ("Brotli: decoder, dictionary", r"brotli_decompressor|alloc_no_stdlib"),
    ("zstd", r"^(ZSTD|HUF|FSE|HIST)|zstd"),
    ("gzip", r"flate2|miniz_oxide|crc32fast"),
    (
        "TLS: rustls, ring, webpki",
        r"rustls|webpki|\bring(::|_core)|untrusted|aesni|vpaes|gcm|ghash|chacha|poly1305|sha(256|512)"
        r"|^(ecp_|x25519_|k25519|bn_|p256|fe_)",
    ),
    ("HTTP, WebSocket", r"\bu?http(arse)?::|ureq|tungstenite"),
    ("names of functions in backtraces", r"gimli|addr2line|rustc_demangle|\bobject::"),
    ("the Python binding, pyo3", r"_native::|pyo3"),
    ("the library's own code", r"spotflow_device"),
    ("rusqlite", r"rusqlite"),
    ("Rust's standard library", r"\b(std|core|alloc|hashbrown)::"),
    ("other crates", r"::"),
    ("SQLite and other C code", r""),
)
#: What has no symbols.
SECTIONS = {
    ".eh_frame": "tables to unwind",
    ".eh_frame_hdr": "tables to unwind",
    ".gcc_except_table": "tables to unwind",
    ".rela.dyn": "relocations, and what they are for",
    ".data.rel.ro": "relocations, and what they are for",
}


def main(wheel):
    with zipfile.ZipFile(wheel) as archive, tempfile.NamedTemporaryFile() as file:
        [name] = [name for name in archive.namelist() if name.endswith(".so")]
        library = archive.read(name)
        file.write(library)
        file.flush()
        sections = dict(_sections(file.name))
        symbols = list(_symbols(file.name))
    if not symbols:
        sys.exit(f"{name} is stripped")
    parts = collections.defaultdict(bytearray)
    named = {}
    for address, size, symbol in symbols:
        around = (name for name, (start, _, length) in sections.items() if start <= address < start + length)
        section = next(around, None)
        if section in (".text", ".rodata", ".data") and address not in named:
            named[address] = size
            start, offset, _ = sections[section]
            part = next(part for part, pattern in PARTS if re.search(pattern, symbol))
            parts[part] += library[address - start + offset :][:size]
    for section, part in SECTIONS.items():
        _, offset, length = sections[section]
        parts[part] += library[offset:][:length]
    for part, content in sorted(parts.items(), key=lambda item: -len(item[1])):
        print(f"| {part} | {len(content) / 1000:.0f} KB | {len(zlib.compress(bytes(content), 9)) / 1000:.0f} KB |")
    without = sum(sections[name][2] for name in (".text", ".rodata", ".data")) - sum(named.values())
    print(f"| texts, and what has no name | {without / 1000:.0f} KB | |")


def _sections(library):
    for line in _output("readelf", "--sections", "--wide", library):
        found = re.match(r" *\[ *\d+\] (\.\S+) +(?!NOBITS)\S+ +([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+)", line)
        if found and int(found[2], 16):
            yield found[1], tuple(int(number, 16) for number in found.groups()[1:])


def _symbols(library):
    for line in _output("nm", "--print-size", "--demangle", "--defined-only", library):
        found = re.match(r"([0-9a-f]+) ([0-9a-f]+) \S (.*)", line)
        if found:
            yield int(found[1], 16), int(found[2], 16), found[3]


def _output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout.splitlines()


if __name__ == "__main__":
    main(sys.argv[1])
