"""The stub of the native module and its docstrings. What type checkers make of it is checked by check_types.sh."""

import ast
import inspect

import pytest
import stub_docs

import spotflow_device
from spotflow_device import _native

STUB = ast.parse(stub_docs.STUB.read_text(encoding="utf-8"))

DOCUMENTED = [pytest.param(node, doc, id=node.name) for node, doc in stub_docs.documented(STUB, _native)]
EXPORTS = [getattr(spotflow_device, name) for name in spotflow_device.__all__ if name != "__version__"]


@pytest.mark.parametrize("node, doc", DOCUMENTED)
def test_the_stub_has_the_docstring_of_the_module(node, doc):
    assert ast.get_docstring(node) == doc


@pytest.mark.parametrize("exported", EXPORTS, ids=lambda exported: exported.__name__)
def test_everything_public_has_a_docstring(exported):
    members = [getattr(exported, name) for name in vars(exported) if not name.startswith("_")]
    documented = [exported] + [member for member in members if is_code(member)]
    assert [thing for thing in documented if not thing.__doc__] == []


def is_code(member):
    return inspect.isroutine(member) or inspect.isgetsetdescriptor(member)
