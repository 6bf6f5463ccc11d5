"""`fedsec poster`: the poster's experiments, a command and a file each."""

from __future__ import annotations

from fedsec.cli.lazy_group import LazyGroup, Listed, new_app

EXPERIMENTS = {
    "tables": Listed(
        "fedsec.cli.poster_tables:tables",
        "Tables 1.0 and 2.0: the error of hospitals alone less their error together, gradients summed under "
        "encryption.",
    ),
    "network": Listed(
        "fedsec.cli.poster_network:network",
        "The encrypted network: weights under their owner's key, data in the clear at the hospital only.",
    ),
    "shared-training": Listed(
        "fedsec.cli.poster_shared_training:shared_training",
        "Train networks on secret-shared diabetes data: what collapses and when, what does not, and what it costs.",
    ),
    "basics": Listed(
        "fedsec.cli.poster_basics:basics",
        "What the poster says of its tools: exact sums under encryption, fresh ciphertexts, shares that tell nothing.",
    ),
    "page": Listed(
        "fedsec.cli.poster_page_command:page",
        "Make one self-contained page, poster.html, of what the experiments left in a folder: claims, figures, tables.",
    ),
    "all": Listed(
        "fedsec.cli.poster_all:every",
        "Run every experiment of the poster, one after the other, and make the page of them: an hour.",
    ),
}


class Experiments(LazyGroup):
    """The poster's commands."""

    listed = EXPERIMENTS


app = new_app(
    name="poster",
    cls=Experiments,
    help="The poster's experiments, each beside the number that the poster prints.",
    no_args_is_help=True,
)
