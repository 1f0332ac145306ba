#!/usr/bin/env python3
"""Copies the docstrings of the built native module into its stub, where editors look for them.

Usage: stub_docs.py [--check]

The package must be importable. A definition in the stub asks for the module's docstring by having one, if only of a
space. With ``--check`` nothing is written, and a stub that is not up to date is an error.
"""

import ast
import importlib
import inspect
import sys
import textwrap
from pathlib import Path
from typing import Iterator, List, Tuple, Union

STUB = Path(__file__).parent / "package" / "spotflow_device" / "_native.pyi"

Definition = Union[ast.ClassDef, ast.FunctionDef]


def documented(parent: Union[ast.Module, ast.ClassDef], thing: object) -> Iterator[Tuple[Definition, str]]:
    """All definitions of the stub that have a docstring, each with the one that it has at run time."""
    for node in parent.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            defined = getattr(thing, node.name)
            if ast.get_docstring(node) is not None:
                yield node, inspect.cleandoc(defined.__doc__ or "")
            if isinstance(node, ast.ClassDef):
                yield from documented(node, defined)


def literal(doc: str, indent: str) -> List[str]:
    """The lines of a docstring in the source."""
    if "\\" in doc or '"""' in doc:
        raise SystemExit("a docstring that would need escapes: " + doc)
    closing = '\n"""' if "\n" in doc else '"""'
    return textwrap.indent('"""' + doc + closing, indent).splitlines()


def with_docs(stub: str, module: object) -> str:
    """The stub with the module's docstrings."""
    lines = stub.splitlines()
    # From the end, so that the numbers of the lines before stay right.
    for node, doc in reversed(list(documented(ast.parse(stub), module))):
        place = node.body[0]
        lines[place.lineno - 1 : place.end_lineno] = literal(doc, " " * place.col_offset)
    return "\n".join(lines) + "\n"


def main() -> None:
    stub = STUB.read_text(encoding="utf-8")
    wanted = with_docs(stub, importlib.import_module("spotflow_device._native"))
    if stub == wanted:
        print(f"{STUB.name} has the docstrings of the module")
    elif "--check" in sys.argv[1:]:
        raise SystemExit(f"{STUB.name} has other docstrings than the module: run stub_docs.py")
    else:
        STUB.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
