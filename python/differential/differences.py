"""The differences that are known, and what is made of those that are found."""

import re
from collections import Counter, namedtuple

#: A difference that was found: an aspect of a case, and what was seen under either SDK.
Found = namedtuple("Found", "case aspect published ours")
#: What an aspect, or a whole case, is where only the other SDK has it.
ABSENT = "absent"


class Listed(namedtuple("Listed", "title case aspect published ours")):
    """A line of the list: patterns, in which `*` stands for anything."""

    def covers(self, found):
        """Whether it speaks of this aspect of this case, whatever was seen."""
        return _fits(self.case, found.case) and _fits(self.aspect, found.aspect)

    def explains(self, found):
        """Whether it says exactly that."""
        return self.covers(found) and _fits(self.published, found.published) and _fits(self.ours, found.ours)

    def __str__(self):
        return " | ".join(self[1:])


def _fits(pattern, text):
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def read(path):
    """The list in a Markdown file: the lines of its code blocks, under their headings."""
    listed, title, in_block = [], None, False
    with open(path, encoding="utf-8") as file:
        for line in file.read().splitlines():
            if line.startswith("```"):
                in_block = not in_block
            elif in_block:
                listed.append(Listed(title, *line.split(" | ", 3)))
            elif line.startswith("## "):
                title = line[3:]
    return listed


class Outcome:
    """What the comparison came to."""

    def __init__(self):
        self.cases = 0
        self.aspects = 0
        #: The cases that differ, each with the titles of what explains it.
        self.explained = {}
        self.unexplained = []
        #: Lines of the list that say what is not so, with why.
        self.vanished = []

    def report(self, all_listed):
        lines = [
            f"UNEXPLAINED {found.case}: {found.aspect}\n  published: {found.published}\n  ours:      {found.ours}"
            for found in self.unexplained
        ]
        if all_listed:
            lines += [f"VANISHED {listed}\n  {reason}" for listed, reason in self.vanished]
        titles = Counter(title for titles in self.explained.values() for title in titles)
        lines += [f"{count:5} cases: {title}" for title, count in titles.items()]
        unexplained = {found.case for found in self.unexplained}
        different = set(self.explained) - unexplained
        lines.append(
            f"{self.cases} cases ({self.aspects} aspects): {self.cases - len(different) - len(unexplained)} equal, "
            f"{len(different)} different and explained, {len(unexplained)} different and not explained, "
            f"{len(self.vanished) if all_listed else 0} explanations of what does not differ"
        )
        return "\n".join(lines)


def compare(published, ours, all_listed):
    """Compares what was seen, `{case: {aspect: text}}`."""
    outcome, used = Outcome(), Counter()
    for case in sorted({**published, **ours}):
        outcome.cases += 1
        theirs, our = published.get(case, {}), ours.get(case, {})
        for aspect in sorted({**theirs, **our}):
            outcome.aspects += 1
            found = Found(case, aspect, theirs.get(aspect, ABSENT), our.get(aspect, ABSENT))
            if found.published == found.ours:
                outcome.vanished += [(listed, f"{case} is equal") for listed in all_listed if listed.covers(found)]
                continue
            explaining = [listed for listed in all_listed if listed.explains(found)]
            used.update(explaining)
            if explaining:
                outcome.explained.setdefault(case, set()).update(listed.title for listed in explaining)
            else:
                outcome.unexplained.append(found)
    outcome.vanished += [(listed, "no case is so") for listed in all_listed if not used[listed]]
    return outcome
