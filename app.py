"""Start GPT Lab's page: `python app.py`. Parses arguments and launches; nothing heavy is imported before that."""

import argparse
import os
import re
import tempfile


def main() -> None:
    """Parse the arguments, then run the app until it is told to stop."""
    parser = argparse.ArgumentParser(description="Train a small GPT from scratch, in the browser.", allow_abbrev=False)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="port, or the next free one (default: %(default)s)")
    parser.add_argument("--workspace", metavar="DIR", default=os.environ.get("GPTLAB_WORKSPACE") or "workspace",
                        help="where data sets and runs are kept (default: %(default)s)")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="let in only who knows these")
    parser.add_argument("--allow-host", metavar="NAME", type=host_name, action="append", default=[],
                        help="a name this machine is reached by")
    parser.add_argument("--max-minutes", metavar="N", type=positive, help="no run may train longer than this")
    parser.add_argument("--no-browser", action="store_true", help="don't open the page in a browser")
    args = parser.parse_args()
    if args.host not in ("127.0.0.1", "localhost", "::1") and not (args.auth and args.allow_host):
        parser.error(f"--host {args.host} lets other machines reach this app: say who may with --auth USER:PASSWORD and "
                     "by which name with --allow-host NAME.")
    if args.host == "::":
        parser.error("--host :: cannot be used: choose 0.0.0.0, or one address of this machine.")
    if args.auth and not all(args.auth.partition(":")):
        parser.error("--auth needs a name and a password with a colon between them, such as --auth teacher:secret.")

    from gptlab.memory import few_heaps
    from gptlab.processors import share_processors

    few_heaps()
    share_processors()
    # Before gradio is imported: look nothing up outside; keep uploads in a folder that goes with the app.
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1")
    with tempfile.TemporaryDirectory(prefix="gptlab-", ignore_cleanup_errors=True) as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        from gptlab.ui.serve import serve

        serve(parser, args)


def positive(text: str) -> float:
    """A number above 0, as argparse asks for one."""
    try:
        if 0 < (number := float(text)) < float("inf"):
            return number
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text} is not a number above 0, such as 30")


def host_name(text: str) -> str:
    """A name or address as a browser asks for it, or all names under one."""
    if re.fullmatch(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:]+\]", text):
        return text
    raise argparse.ArgumentTypeError(f"{text} is not the name of a machine, such as lab.example or *.lab.example, without a "
                                     "port")


if __name__ == "__main__":
    main()
