"""`fedsec poster`: the poster's experiments, a command and a file each."""

from __future__ import annotations

from fedsec.cli.lazy_group import LazyGroup, Listed, new_app

EXPERIMENTS = {
    "tables": Listed(
        "fedsec.cli.poster_tables:tables", "Tables 1.0 and 2.0: how far training together lowers each hospital's error."
    ),
    "network": Listed(
        "fedsec.cli.poster_network:network",
        "Train a network whose weights are encrypted under their owner's key; only the hospital sees the rows.",
    ),
    "shared-training": Listed(
        "fedsec.cli.poster_shared_training:shared_training",
        "Train networks on secret-shared diabetes data: which collapse and when, which do not, and what it costs.",
    ),
    "basics": Listed(
        "fedsec.cli.poster_basics:basics",
        "Check what the poster claims about its tools: exact sums, fresh ciphertexts, shares that reveal nothing.",
    ),
    "page": Listed(
        "fedsec.cli.poster_page_command:page",
        "Write poster.html, one self-contained page of claims, figures and tables, from a folder of results.",
    ),
    "all": Listed(
        "fedsec.cli.poster_all:every", "Run all of the poster's experiments and write the page: about an hour."
    ),
}


class Experiments(LazyGroup):
    """The poster's commands."""

    listed = EXPERIMENTS


app = new_app(
    name="poster",
    cls=Experiments,
    help="Rerun the poster's experiments, and compare each result with what the poster prints.",
    no_args_is_help=True,
)
