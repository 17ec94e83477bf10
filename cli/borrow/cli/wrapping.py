"""Commands around a command: `borrow run ROLE -- COMMAND`, `borrow docker run … -- COMMAND`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from borrow.cli.group import override

if TYPE_CHECKING:
    from borrow.cli.errors import WrongUse


class Wrapping(click.Command):
    """Wants the `--`: without it nobody can tell the command's options from ours.

    The command is `ctx.obj`, a tuple of words.
    """

    def without_dashes(self, args: list[str]) -> WrongUse:
        """What is wrong with `args`, with the line to type instead."""
        raise NotImplementedError

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" not in args:
            if any(word in ctx.help_option_names for word in args) or ctx.resilient_parsing:
                return super().parse_args(ctx, args)
            raise self.without_dashes(args)
        cut = args.index("--")
        ctx.obj = tuple(args[cut + 1 :])
        return super().parse_args(ctx, args[:cut])

    @override
    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- COMMAND"]
