#!/usr/bin/env python3
"""Prints which lines of each decoder were reached, of an lcov file."""
import sys

DECODERS = """
src/link/session.rs src/link/topics.rs
src/document/mod.rs src/document/merge_patch.rs src/document/rules.rs
src/http/problem.rs src/http/registration.rs src/http/time.rs
src/instance.rs src/net/host.rs src/http/api.rs#impl~Call src/http/upload.rs#fn~address
src/message/property_bag.rs
src/store/rows/ids.rs src/store/rows/device.rs src/store/rows/outbox.rs src/store/rows/inbox.rs
src/store/rows/set_aside.rs src/store/rows/open_upload.rs
src/store/upgrade/columns.rs src/store/upgrade/configuration.rs src/store/upgrade/messages.rs
src/store/upgrade/cloud_messages.rs src/store/upgrade/properties.rs
""".split()


def hits(report):
    """By file and line, how often it was reached."""
    files, lines = {}, {}
    for row in open(report):
        name, _, value = row.strip().partition(":")
        if name == "SF":
            lines = files.setdefault(value, {})
        elif name == "DA":
            number, count = value.split(",")[:2]
            lines[int(number)] = lines.get(int(number), 0) + int(count)
    return files


def ranges(numbers):
    """1, 2, 3, 7 as 1-3 7."""
    found = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def extent(text, item):
    """The first and the last line of an item, or of what is before the tests in the file itself."""
    if not item:
        return 1, next((n for n, line in enumerate(text) if line == "mod tests {"), len(text))
    first = next(n for n, line in enumerate(text, 1) if line.lstrip().startswith(item))
    indent = text[first - 1][: len(text[first - 1]) - len(text[first - 1].lstrip())]
    return first, next(n for n, line in enumerate(text, 1) if n > first and line == indent + "}")


files = hits(sys.argv[1])
total = reached = 0
for decoder in DECODERS:
    name, _, item = decoder.replace("~", " ").partition("#")
    (lines,) = [lines for file, lines in files.items() if file.endswith("/" + name)]
    first, last = extent(open(name).read().splitlines(), item)
    lines = {number: count for number, count in lines.items() if first <= number <= last}
    missed = sorted(number for number, count in lines.items() if not count)
    total += len(lines)
    reached += len(lines) - len(missed)
    share = 100 * (1 - len(missed) / len(lines))
    print(f"{decoder:40} {share:5.1f} % of {len(lines):3} lines; not reached: {ranges(missed) or '-'}")
print(f"{'all':40} {100 * reached / total:5.1f} % of {total:3} lines")
