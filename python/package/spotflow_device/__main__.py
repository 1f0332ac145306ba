"""``python -m spotflow_device``: which version this is, and what is in it."""

from ._native import build_info


def main() -> None:
    """Prints a line for each fact."""
    facts = build_info()
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")


if __name__ == "__main__":
    main()
