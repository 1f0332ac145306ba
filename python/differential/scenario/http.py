"""What is told of HTTP requests on the wire."""


def note(cases, case, request, placeholders):
    """Adds a request to a case: headers by name, whose case and order mean nothing in HTTP."""
    headers = {}
    for name, value in request.headers:
        headers.setdefault(f"header {name.lower()}", []).append(placeholders.text(value))
    cases.note(
        case,
        method=request.method,
        target=placeholders.text(request.target),
        version=request.version,
        body=placeholders.bytes(request.body),
        **{name: ", ".join(values) for name, values in headers.items()},
    )
