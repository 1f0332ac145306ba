"""Fails if a dependency of the library states a newer Rust version than the one given."""

import json
import sys


def numbers(version):
    parts = [int(part) for part in version.split(".")]
    return parts + [0] * (3 - len(parts))


def main():
    limit = sys.argv[1]
    metadata = json.load(sys.stdin)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = next(id for id, package in packages.items() if package["name"] == "spotflow-device")
    seen, left = set(), [root]
    while left:
        id = left.pop()
        if id in seen:
            continue
        seen.add(id)
        for dependency in nodes[id]["deps"]:
            if any(kind["kind"] is None or kind["kind"] == "build" for kind in dependency["dep_kinds"]):
                left.append(dependency["pkg"])
    newer = sorted(
        f'{packages[id]["name"]} {packages[id]["version"]} needs {packages[id]["rust_version"]}'
        for id in seen
        if packages[id]["rust_version"] and numbers(packages[id]["rust_version"]) > numbers(limit)
    )
    print(f"{len(seen)} packages, {len(newer)} of them too new for {limit}", *newer, sep="\n")
    sys.exit(bool(newer))


main()
