"""`pull`: a model from the Hub, a mirror or a folder into the store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from models import catalog, home, plain_file, progress
from models.cli.options import MAX_SECRET_BYTES, Commands, command, data_dir_flag, whole_number
from models.errors import InvalidRefError, ModelError, OriginError
from models.progress import JsonLines
from models.refs import ModelRef
from models.store import DEMO
from models.target import Kind, ModelTarget

if TYPE_CHECKING:
    from models.hub.origins import Origin
    from models.hub.pull import Pull, Pulled

EPILOG = """\
examples:
  python -m models pull qwen2.5-7b                        from the Hub, at the commit of today
  python -m models pull acme/our-tune@v2                  any repository, any revision
  python -m models pull qwen2.5-7b --update               take what the branch holds now
  python -m models pull qwen2.5-7b --from https://hub.corp.example   from a mirror
  python -m models pull qwen2.5-7b --from /media/usb/qwen  from a folder, without a connection

A pull that was interrupted goes on where it stopped: run it again. The commit is pinned in
DIR/models.lock; a later pull of the same name takes that commit, until --update.

The Hub's own variables hold: HF_ENDPOINT (a mirror), HF_TOKEN or HF_TOKEN_PATH, HTTPS_PROXY and
NO_PROXY, SSL_CERT_FILE (certificates of your proxy or mirror), HF_HUB_DOWNLOAD_TIMEOUT (seconds).
A mirror that is named with --from gets a token from --token-file only.

with --json each line of stdout is an object; "event" says which:
  progress  phase, done_bytes, total_bytes, rate_bytes_per_s, eta_s (null: not known)
  notice    message
  done      outcome (pulled present moved unasked), name, path, digest, repo, commit
  error     kind, message

exit codes: 0 the model is here; 2 it is not: the message says why; 130 interrupted
"""
MAX_PARALLEL = 64


def add_commands(commands: Commands) -> None:
    """Add `pull`."""
    text = "a model from the Hub, a mirror or a folder"
    pull = command(commands, "pull", text=text, run=_run, epilog=EPILOG)
    pull.add_argument("model", metavar="ALIAS|REPO[@REVISION]", help="which model")
    pull.add_argument(
        "--from",
        dest="origin",
        default="hub",
        metavar="hub|URL|PATH",
        help="the Hub, another endpoint of its kind, or a folder (default: hub)",
    )
    pull.add_argument("--name", help="its name here (default: the alias, or owner--name)")
    pull.add_argument(
        "--update", action="store_true", help="replace what is here, and move the pin"
    )
    pull.add_argument(
        "--parallel", type=_count, default=8, metavar="N", help="files at a time (default: 8)"
    )
    pull.add_argument("--token-file", type=Path, metavar="FILE", help="holds the Hub's token")


def _run(options: argparse.Namespace) -> int:
    view = JsonLines(sys.stdout)
    try:
        with progress.shown(as_json=options.json) as meter:
            pulled = _plan(options, meter).run()
    except ModelError as error:
        if options.json:
            view.event("error", kind=type(error).__name__, message=str(error))
            return 2
        raise
    except KeyboardInterrupt:
        print("interrupted; run it again to go on with what is there", file=sys.stderr)
        return 130
    if options.json:
        view.event(
            "done",
            outcome=str(pulled.outcome),
            name=pulled.name,
            path=str(pulled.path),
            digest=pulled.digest,
            repo=pulled.ref.repo if pulled.ref else None,
            commit=pulled.ref.revision if pulled.ref else None,
        )
    else:
        _print(pulled, options.data_dir)
    return 0


def _print(pulled: Pulled, data_dir: Path) -> None:
    verb = "pulled" if pulled.outcome == "pulled" else "here already:"
    source = f" ({pulled.ref})" if pulled.ref else ""
    print(f"{verb} {pulled.name}{source}\n  {pulled.path}\n  {pulled.digest or 'no manifest'}")
    print(f"serve it: python -m serve --model {pulled.name}{data_dir_flag(data_dir)}")


def _plan(options: argparse.Namespace, meter: progress.Progress) -> Pull:
    # The Hub's client takes a moment to import, so only this command does.
    from models.hub.pull import Pull

    ref, name, is_exact = _which(options)
    origin, where = _origin(options)
    return Pull(
        name=options.name or name,
        ref=None if _is_folder(options.origin) else ref,
        origin=origin,
        where=where if _is_folder(options.origin) else f"{ref} at {where}",
        data_dir=options.data_dir,
        progress=meter,
        update=options.update,
        is_exact=is_exact,
        num_parallel=options.parallel,
    )


def _which(options: argparse.Namespace) -> tuple[ModelRef | None, str, bool]:
    """The repository, the name in the store, and whether a revision was named."""
    target = ModelTarget.parse(options.model)
    if target.kind is Kind.BUILT_IN:
        raise OriginError(f"{DEMO!r} is built in; there is nothing to pull.")
    if target.ref is not None and target.name is not None:
        return target.ref, target.name, target.revision is not None
    name = options.model.partition("@")[0]
    if _is_folder(options.origin):
        return None, name, False
    near = catalog.load().near(name)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise InvalidRefError(
        f"{options.model!r} is neither an alias of the catalog nor owner/name.{hint} "
        "`python -m models list` shows the aliases."
    )


def _origin(options: argparse.Namespace) -> tuple[Origin, str]:
    from models.hub.fetch import HubOrigin
    from models.hub.origins import FolderOrigin

    token = _token(options.token_file)
    text: str = options.origin
    if text == "hub":
        hub = HubOrigin(token=token)
        return hub, hub.endpoint
    if "://" in text:
        # The Hub's token belongs to the Hub: another host gets what was given for it, or nothing.
        hub = HubOrigin(endpoint=text, token=token or False)
        return hub, hub.endpoint
    folder = home.expanded(Path(text))
    if not folder.is_dir():
        raise OriginError(
            f"--from {text}: there is no such folder. Write hub, https://... or PATH."
        )
    return FolderOrigin(folder), text


def _is_folder(origin: str) -> bool:
    return origin != "hub" and "://" not in origin


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        token = (
            plain_file.read(path, MAX_SECRET_BYTES, may_be_link=True, may_be_pipe=True)
            .decode("ascii")
            .strip()
        )
    except (OSError, UnicodeDecodeError) as error:  # whose own text may show bytes of the file
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise OriginError(f"--token-file {path} cannot be read: {reason}.") from None
    if not token or any(letter.isspace() for letter in token):
        raise OriginError(f"--token-file {path} does not hold one token and nothing else.")
    return token


def _count(text: str) -> int:
    number = whole_number(text)
    if number > MAX_PARALLEL:
        raise argparse.ArgumentTypeError(f"at most {MAX_PARALLEL} files at a time, not {number}")
    return number
