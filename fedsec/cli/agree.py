"""`fedsec agree`: the agreement on what may leave a hospital, from a simulation to its approval."""

from __future__ import annotations

from fedsec.cli.lazy_group import LazyGroup, Listed, new_app

COMMANDS = {
    "identity": Listed(
        "fedsec.cli.agree_hospital:identity",
        "Make a key that identifies a hospital or the server, and print its public part.",
        extra="",
    ),
    "write": Listed(
        "fedsec.cli.agree_write:write", "Write an agreement for a deployment, from a simulation or from a schema."
    ),
    "bundle": Listed(
        "fedsec.cli.agree_read:bundle", "Print the SHA-256 by which an agreement names an app's files.", extra=""
    ),
    "show": Listed(
        "fedsec.cli.agree_read:show",
        "Explain an agreement: what leaves a hospital, to whom, how often, what could be derived from it.",
        extra="",
    ),
    "compare": Listed(
        "fedsec.cli.agree_read:compare",
        "Show where two agreements differ; the exit status is 1 where they do.",
        extra="",
    ),
    "approve": Listed(
        "fedsec.cli.agree_hospital:approve", "Check an agreement against this hospital, and sign it.", extra=""
    ),
    "status": Listed(
        "fedsec.cli.agree_hospital:status",
        "Show how many sums of each stage this hospital has answered, of those that the agreement allows.",
        extra="",
    ),
}


class Commands(LazyGroup):
    """The commands about agreements."""

    listed = COMMANDS


app = new_app(
    name="agree",
    cls=Commands,
    help="Agree on what may leave a hospital: write, explain, compare and approve the agreement of a study.",
    no_args_is_help=True,
)
