"""One line for each operation that did what it should."""


def passed(operation, *about):
    print("ok", operation, *about, flush=True)


def check(condition, what):
    """An assertion that no option switches off."""
    if not condition:
        raise AssertionError(what)
