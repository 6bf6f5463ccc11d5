"""Which of Flower's strategies run over secure sums, and how many clients they have to ask."""

from __future__ import annotations

from flwr.serverapp import strategy
from flwr.serverapp.strategy import Strategy

from fedsec.errors import ConfigurationError

SINGLE_UPDATES = "it needs each client's update by itself, and secure aggregation shows the server their sum only"


REFUSED = {
    "Krum": SINGLE_UPDATES,
    "MultiKrum": SINGLE_UPDATES,
    "Bulyan": SINGLE_UPDATES,
    "FedMedian": SINGLE_UPDATES,
    "FedTrimmedAvg": SINGLE_UPDATES,
    "FedXgbBagging": SINGLE_UPDATES,
    "FedXgbCyclic": SINGLE_UPDATES,
    "QFedAvg": "it weighs each client's update by that client's own loss, and the server sees means only",
    "DifferentialPrivacyServerSideFixedClipping": "it clips each client's update at the server; clip at the clients",
    "DifferentialPrivacyServerSideAdaptiveClipping": "it clips each client's update at the server; clip at the clients",
    "DifferentialPrivacyClientSideFixedClipping": "it counts the replies against num_sampled_clients, and there is one",
    "DifferentialPrivacyClientSideAdaptiveClipping": "it needs each client's clipping indicator",
}
"""By name, the strategies in `flwr.serverapp.strategy` that need more than the mean, and why."""

STAGES = ("train", "evaluate")
SAMPLING = [f"{name}_{stage}{rest}" for stage in STAGES for name, rest in (("min", "_nodes"), ("fraction", ""))]
"""What says how many clients a strategy of Flower asks."""

OUTERMOST = (
    "SecureAggregation is inside another strategy, which would ask clients around it, or one of its configure_... "
    "methods was called directly: it must be the outermost one, and its `start` (or `collect`) asks clients. "
    "Flower's DifferentialPrivacy... strategies do not run over secure sums in either order; add noise at the clients, "
    "by ClientApp(mods=[secure_aggregation]) and @app.train(mods=[LocalDpMod(...)])"
)


def refuse_nonlinear(inner: Strategy, linear: bool = False) -> None:
    """Raise ConfigurationError unless `inner` needs the mean of the updates only.

    linear: whether the user declares so for a strategy that is no FedAvg; `inner.linear = True` declares it too.
    """
    name = type(inner).__name__
    for kind in type(inner).__mro__:
        if kind.__name__ in REFUSED and kind.__module__.startswith("flwr."):
            raise ConfigurationError(f"{name} cannot run over secure sums: {REFUSED[kind.__name__]}")
    if not isinstance(inner, Strategy):
        raise ConfigurationError(f"{name} is not a strategy of flwr.serverapp.strategy")
    if not (isinstance(inner, strategy.FedAvg) or declared_linear(inner, linear)):
        raise ConfigurationError(
            f"{name} is not a FedAvg of flwr.serverapp.strategy, and not known to need the weighted mean alone. If its "
            f"result is the same whether it aggregates the replies or their weighted mean as one reply, declare it: "
            f"`linear = True` in class {name}, or SecureAggregation(..., linear=True)"
        )


def declared_linear(inner: Strategy, linear: bool) -> bool:
    """Whether the user declares that `inner` needs the mean alone."""
    return linear or getattr(inner, "linear", False) is True


def too_few(inner: Strategy, stage: str, asked: int, floor: int, connected: int) -> str:
    """What to do where a stage would ask fewer clients than the floor; empty where it does not.

    Where too few nodes are connected, that is the cause; settings are named then only if they would ask too few too.
    """
    if asked >= floor:
        return ""
    found = {name: getattr(inner, name) for name in SAMPLING if hasattr(inner, name)}
    now = ", ".join(f"{name} is {value}" for name, value in found.items())
    now = f" ({now})" if now else ""
    settings = f"set min_train_nodes={floor} and min_evaluate_nodes={floor}"
    need = f"and a secure sum needs at least {floor}"
    if connected >= floor:
        return (
            f"{type(inner).__name__} asks {asked} clients to {stage}, {need}: {settings}, or raise fraction_train and "
            f"fraction_evaluate{now}; {connected} nodes are connected"
        )
    small = any(found.get(f"min_{one}_nodes", floor) < floor and found.get(f"fraction_{one}", 1) for one in STAGES)
    return (
        f"only {connected} node{' is' if connected == 1 else 's are'} connected, {need}: start more SuperNodes, in a "
        f'simulation by `flwr run . --federation-config "num-supernodes={max(5, floor)} client-resources-num-cpus=1"` '
        f"(Flower starts 2 by default){f'; and {settings}{now}' if small else ''}"
    )
