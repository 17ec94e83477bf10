"""`borrow hook SHELL`: the shell's own script, with the paths of this installation put in.

The scripts are files beside this one, to be read and checked as what they are; nothing but two
quoted paths and click's completion script is added.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from borrow.cli import say
from borrow.cli.environment import SHELLS, quoted
from borrow.cli.errors import WrongUse

if TYPE_CHECKING:
    from borrow.cli.environment import Shell

_FILES: Final = {"bash": "hook.bash", "zsh": "hook.zsh", "fish": "hook.fish", "pwsh": "hook.ps1"}
_EVALUATED: Final = {
    "bash": 'eval "$(borrow hook bash)"  # in ~/.bashrc',
    "zsh": 'eval "$(borrow hook zsh)"  # in ~/.zshrc',
    "fish": "borrow hook fish | source  # in ~/.config/fish/config.fish",
    "pwsh": "borrow hook pwsh | Out-String | Invoke-Expression  # in $PROFILE",
}


@click.command(epilog='Example: eval "$(borrow hook bash)" in ~/.bashrc')
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.option("--names", is_flag=True, hidden=True)
@click.option("--no-completion", is_flag=True, help="Without the completion of borrow's own words.")
def hook(shell: str | None, *, names: bool, no_completion: bool) -> int:
    """Print a shell's hook; meant to be evaluated by its start file.

    It shows role and time left in the prompt, and gives the programs that a trusted .borrow.toml
    names their role without a prefix. It starts no program at a prompt.
    """
    if names:
        from borrow.cli.project import names_for_hook

        return names_for_hook()
    if shell is None:
        raise WrongUse("borrow hook lacks a shell", hint=f"borrow hook {'|'.join(SHELLS)}")
    if say.is_terminal(sys.stdout):
        say.note(f"# to be evaluated: {_EVALUATED[shell]}")
    sys.stdout.write(script(cast("Shell", shell), completion=not no_completion))
    return 0


def script(shell: Shell, *, completion: bool) -> str:
    from borrow.cli.home import open_home

    text = (Path(__file__).parent / "hooks" / _FILES[shell]).read_text(encoding="utf-8")
    text = text.replace("@BORROW@", quoted(own_command(), shell))
    prompts = open_home().runtime / "prompts"
    text = text.replace("@PROMPTS@", quoted(str(prompts), shell))
    return text + (_completion(shell) if completion else "")


def own_command() -> str:
    """The `borrow` that runs, by its whole path: a shell function must not look along PATH."""
    import shutil

    name = sys.argv[0]
    found = name if "/" in name else shutil.which(name)
    return str(Path(found or Path(sys.executable).parent / "borrow").absolute())


def _completion(shell: Shell) -> str:
    """click's script, which runs borrow at a Tab only; PowerShell has none."""
    from click.shell_completion import get_completion_class

    from borrow.cli.group import borrow

    kind = get_completion_class(shell)
    if kind is None or (shell == "bash" and not _has_bash()):
        return ""
    text = kind(borrow, {}, "borrow", "_BORROW_COMPLETE").source()
    if shell == "zsh":  # without compinit there is nothing to tell it to
        text = f"if (( $+functions[compdef] )); then\n{text}\nfi"
    return f"\n{text}\n"


def _has_bash() -> bool:
    """click starts a bash to learn its version, and fails without one."""
    import shutil

    return shutil.which("bash") is not None
