"""Launch the page: where it may be reached from, and how the app ends. Called by app.py only."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import sys
import threading
from pathlib import Path

import segno
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from gptlab.runs.jobs import Jobs
from gptlab.runs.workspace import Workspace
from gptlab.train.device import gpu_note, pick_device
from gptlab.ui import build, look, people
from gptlab.ui.lab import Lab
from gptlab.ui.security import LOOPBACK, middleware
from gptlab.ui.uploads import Room

PORTS_TRIED = 100
LAUNCHES_TRIED = 4
EVERY_ADDRESS = "0.0.0.0"  # not a name to be asked by: a page from elsewhere could send requests to it
SECONDS_TO_STOP = 30
QUEUE_NAP_SECONDS = 0.05  # Gradio's own 0.001 takes a quarter of the speed of a small training loop (shared/GRADIO.md)


def serve(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the app until SIGINT or SIGTERM; then let a run save itself. What cannot be used ends it with a sentence."""
    try:
        workspace = Workspace(args.workspace)
    except ValueError as problem:
        parser.error(str(problem))
    lab = Lab(workspace, Jobs(workspace), args.max_minutes, device=pick_device("auto"), gpu_note=gpu_note() or "")
    if lab.gpu_note:
        print(lab.gpu_note, file=sys.stderr)
    ended = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ended.set())
    lab.preparations.ensure_builtin()
    demo = launch_somewhere(parser, lab, args)
    while not ended.wait(0.5):  # a wait without limit would not see Ctrl-C on Windows
        pass
    print("Stopping: a run that is training saves itself first.", file=sys.stderr)
    lab.preparations.close()
    in_time = lab.jobs.stop_all(SECONDS_TO_STOP)
    demo.close(verbose=False)
    if not in_time:
        cut_off()


def cut_off() -> None:
    """End the process under a run that does not stop. Were Python to end as usual, the run would go on while the threads that
    it counts on are taken away, and would note that down as an error; this way it shows as interrupted, as after a crash."""
    print(f"The run did not stop within {SECONDS_TO_STOP} s and is cut off: resume goes on from its last checkpoint.",
          file=sys.stderr, flush=True)
    shutil.rmtree(os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)  # app.py does not come to it
    os._exit(1)


def launch_somewhere(parser: argparse.ArgumentParser, lab: Lab, args: argparse.Namespace):
    """Launch on the wanted port or one after it. Another program may take a port between the look and the start, and Gradio
    gives a server on a very busy machine five seconds to start."""
    port = args.port
    for left in reversed(range(LAUNCHES_TRIED)):
        port = free_port(parser, args.host, port)
        try:
            return launch(lab, args.host, port, args.auth, args.allow_host, not args.no_browser)
        except OSError as problem:
            if not left:
                parser.error(f"The page could not be served on {args.host} ({problem}): is this machine very busy? Try again.")
            port += 1


def launch(lab: Lab, host: str, port: int, auth: str | None, extra_hosts: list[str], open_browser: bool):
    """Build and launch the page without blocking; returns the running gr.Blocks."""
    address = f"http://{reached_by(host, extra_hosts)}:{port}"
    if host not in LOOPBACK:
        lab.shared = True
        lab.watch_code = segno.make(f"{address}/?view=watch").svg_data_uri(scale=4, border=2, light="white")
    demo = build(lab)
    own = [] if host == EVERY_ADDRESS else [in_address(host)]  # Gradio asks it whether it runs
    demo.launch(
        server_name=in_address(host), server_port=port, inbrowser=open_browser, prevent_thread_lock=True, quiet=True,
        auth=[tuple(auth.split(":", 1))] if auth else None, share=False, run_history=False, enable_monitoring=False,
        ssr_mode=False, mcp_server=False, footer_links=[], show_error=False,
        theme=look.theme(), css_paths=look.CSS, head=look.FRAME + people.head(lab),
        app_kwargs={"middleware": [*middleware([*own, *extra_hosts]), Middleware(Room, folder=Path(get_upload_folder()))],
                    "openapi_url": None})
    if hasattr(demo._queue, "sleep_when_free"):
        demo._queue.sleep_when_free = QUEUE_NAP_SECONDS
    print(f"GPT Lab is at {address} (Ctrl-C ends it)", flush=True)
    return demo


def in_address(host: str) -> str:
    """A host as addresses spell it: "[::1]" for "::1"."""
    return f"[{host}]" if ":" in host else host


def reached_by(host: str, extra_hosts: list[str]) -> str:
    """The host of an address that is answered: for all of this machine's, a name that was allowed."""
    if host != EVERY_ADDRESS:
        return in_address(host)
    return next((name for name in extra_hosts if not name.startswith("*")), "127.0.0.1")


def free_port(parser: argparse.ArgumentParser, host: str, first: int) -> int:
    """`first`, or the next port nobody listens on."""
    for port in range(first, min(first + PORTS_TRIED, 65_536)):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            if sys.platform != "win32":  # there the option would let two programs share a port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OverflowError:
                break
            except OSError as problem:
                failure = problem
                continue
            return port
    parser.error(f"No port from {first} on can be used on {host} ({failure}): choose another with --port or --host.")
