"""What the browser's tests wait with: whatever the server, a frame or a timer still owes is waited for, not slept for.

A condition is JavaScript. It must not hold already before what is to bring it about.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_SECONDS = 60  # until something counts as not coming; no test that passes waits that long, on whatever machine
QUIET_SECONDS = 1      # longer than any hand at rest, until the page asks


def tab(page, name: str) -> None:
    """Opens a tab as a person does."""
    page.get_by_role("tab", name=name, exact=True).click()


def reload(page) -> None:
    """Loads the page again, and waits until it takes what a hand does."""
    page.reload()
    wait_until(page, "document.body.dataset.ready")


def shows(selector: str, text: str) -> str:
    """A condition: `text` is to be read in the first element of `selector`."""
    return f"document.querySelector('{selector}')?.innerText?.includes(`{text}`)"


def wait_until(page, condition: str, seconds: float = PATIENCE_SECONDS, *, arg=None) -> None:
    """Returns once `condition` holds; fails where it does not in time. `arg`: of a condition that is a function."""
    page.wait_for_function(condition, arg=arg, timeout=seconds * 1000)


def wait_here(page, condition: Callable[[], object]) -> None:
    """As `wait_until`, for what is to be seen outside the page: in its requests, or on the disk."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        page.wait_for_timeout(20)


def wait_until_quiet(page) -> None:
    """Returns once the page has sent the server nothing for a while: what a hand did has come to its end."""
    last, deadline = time.monotonic(), time.monotonic() + PATIENCE_SECONDS

    def note(request):
        nonlocal last
        if request.method == "POST":
            last = time.monotonic()

    page.on("request", note)
    while time.monotonic() < last + QUIET_SECONDS:
        assert time.monotonic() < deadline, "it goes on asking"
        page.wait_for_timeout(50)
    page.remove_listener("request", note)


def wait_until_it_fits(page, width: int) -> None:
    """Returns once nothing sticks out at the right: charts follow a new width a frame later."""
    wait_until(page, f"document.documentElement.scrollWidth <= {width}")


@contextmanager
def comes_up(page, condition: str) -> Iterator[None]:
    """Waits, after what is done within, until `condition` has held, be it for so short a time that a look misses it."""
    page.evaluate(f"""() => {{
      window.cameUp = false;
      const look = () => {{ window.cameUp ||= Boolean({condition}); }};
      new MutationObserver(look).observe(document.body,
        {{subtree: true, childList: true, characterData: true, attributes: true}});
    }}""")
    yield
    wait_until(page, "window.cameUp")
