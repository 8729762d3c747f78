"""Completion of `intramural`'s commands, flags and models in bash, zsh and fish.

A script is made from the table of commands, the settings and the catalog; the models of the data
folder are looked up when somebody presses Tab. Nothing of ours is run then.
"""

from __future__ import annotations

from models import catalog
from serve.cli.console_commands import COMMANDS, OWN, SHELLS
from serve.config import Config
from serve.setting_names import env_of, flag_of

USAGE = """\
usage: intramural completion bash|zsh|fish

Prints a script that completes commands, flags and models when Tab is pressed.

  eval "$(intramural completion bash)"                       for this bash; in ~/.bashrc for each
  eval "$(intramural completion zsh)"                        for this zsh; in ~/.zshrc for each
  intramural completion fish > ~/.config/fish/completions/intramural.fish
"""
WITH_SETTINGS = ("run", "serve", "doctor")
"""Commands that take the server's settings as flags."""
_BASH = """\
# bash completion of intramural
_intramural() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]-}}
  local models=${{{data_dir}:-${{XDG_DATA_HOME:-$HOME/.local/share}}/intramural}}/models
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W "{names} --help --version" -- "$word"))
    return
  fi
  case $word in
    -*)
      case $command in
        {with_settings}) COMPREPLY=($(compgen -W "{flags}" -- "$word")) ;;
        *) COMPREPLY=($(compgen -W "--help" -- "$word")) ;;
      esac
      return
      ;;
  esac
  if [ "$COMP_CWORD" = 2 ]; then
    case $command in
{below}
      help) COMPREPLY=($(compgen -W "{names}" -- "$word")) ;;
      completion) COMPREPLY=($(compgen -W "{shells}" -- "$word")) ;;
    esac
    [ ${{#COMPREPLY[@]}} = 0 ] || return
  fi
  case $command in
    {with_model} | models)
      COMPREPLY=($(compgen -W "{aliases} $(ls "$models" 2>/dev/null)" -- "$word"))
      ;;
  esac
  [ ${{#COMPREPLY[@]}} != 0 ] || COMPREPLY=($(compgen -f -- "$word"))
}}
complete -o filenames -F _intramural intramural
"""
_ZSH = "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n"
_FISH = """\
# fish completion of intramural
complete -c intramural -f
set -l commands {names}
{summaries}
{below}
complete -c intramural -n '__fish_seen_subcommand_from completion' -a '{shells}'
complete -c intramural -n '__fish_seen_subcommand_from {model_words}' \\
  -a '{aliases} (path basename $HOME/.local/share/intramural/models/*)' -F
{flags}
"""


def script(shell: str) -> str:
    """The script for one of ``SHELLS``."""
    return _fish() if shell == SHELLS[2] else (_ZSH if shell == SHELLS[1] else "") + _bash()


def flags() -> list[str]:
    """The flags of every setting, and the three that are none."""
    return ["--help", "--config", "--print-config", *map(flag_of, Config.model_fields)]


def _with_model() -> list[str]:
    return [name for name, command in COMMANDS.items() if command.takes_model]


def _bash() -> str:
    below = [
        f'      {name}) COMPREPLY=($(compgen -W "{" ".join(command.commands)}" -- "$word")) ;;'
        for name, command in COMMANDS.items()
        if command.commands
    ]
    return _BASH.format(
        data_dir=env_of("data_dir"),
        names=" ".join([*COMMANDS, *OWN]),
        with_settings=" | ".join(WITH_SETTINGS),
        flags=" ".join(flags()),
        below="\n".join(below),
        shells=" ".join(SHELLS),
        with_model=" | ".join(_with_model()),
        aliases=" ".join(catalog.load()),
    )


def _fish() -> str:
    summaries = {name: command.summary for name, command in COMMANDS.items()} | OWN
    seen = "__fish_seen_subcommand_from"
    return _FISH.format(
        names=" ".join(summaries),
        summaries="\n".join(
            f"complete -c intramural -n 'not {seen} $commands' -a {name} -d {_quoted(text)}"
            for name, text in summaries.items()
        ),
        below="\n".join(
            f"complete -c intramural -n '{seen} {name}' -a '{' '.join(command.commands)}'"
            for name, command in COMMANDS.items()
            if command.commands
        ),
        shells=" ".join(SHELLS),
        model_words=" ".join(_with_model()),
        aliases=" ".join(catalog.load()),
        flags="\n".join(
            f"complete -c intramural -n '{seen} {' '.join(WITH_SETTINGS)}' -l {flag[2:]}"
            for flag in flags()
        ),
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "\\'") + "'"
