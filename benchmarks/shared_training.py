"""Iterations a second of training on shares, beside SecretFlow SPU's simulator: the same network, rows and polynomial.

python benchmarks/shared_training.py [--quick] [--json] [--output DIR] [--spu PYTHON] [--turns N]

A network of 11 columns, 10 hidden units and one output; all 354 rows in every iteration; two parties and a dealer in
one process, in fixed point of 64-bit words. `--spu` names the Python of an environment in which `pip install spu` was
done: SPU wants other versions of numpy than we do. Both are taken in turns, and the best turn counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
from common import Report, Row, count, parser, publish
from rich.console import Console
from rich.progress import Progress

from fedsec.mpc.activation import Activation
from fedsec.mpc.gradient_descent import Network
from fedsec.mpc.in_process import SharedTraining
from fedsec.mpc.ring_fixed_point import Floats
from fedsec.simulations.poster.shared_training import sigmoid_approximations, training_data, training_network

WIDTHS = (11, 10, 1)
RATE = 2.0**-10
ACTIVATIONS = ("maclaurin-5", "clipped-5", "pieces")

PEER = """
import json, sys, time
import jax.numpy as jnp, numpy as np
import spu, spu.utils.simulation as simulation
import spu.libspu as lib
from spu.utils import frontend

given = json.loads(sys.stdin.read())
c, bound, steps, turns, rate = given["coefficients"], given["bound"], given["steps"], given["turns"], given["rate"]

def act(z):
    if not c:
        return jnp.where(z < -0.5, 0.0, jnp.where(z < 0.5, z + 0.5, 1.0))
    if bound is not None:
        z = jnp.clip(z, -bound, bound)
    u = z * z
    inner = c[-1] * jnp.ones_like(u)
    for k in c[-2::-1]:
        inner = inner * u + k
    return 0.5 + z * inner

def train(x, y, w1, w2):
    for _ in range(steps):
        a1 = act(x @ w1)
        a2 = act(a1 @ w2)
        d2 = (a2 - y) * a2 * (1 - a2)
        d1 = (d2 @ w2.T) * a1 * (1 - a1)
        w2, w1 = w2 - rate * (a1.T @ d2), w1 - rate * (x.T @ d1)
    return w1, w2

args = [np.array(given[name]) for name in ("x", "y", "w1", "w2")]
sim = simulation.Simulator.simple(2, lib.ProtocolKind.SEMI2K, lib.FieldType.FM64)
names = ["in%d" % n for n in range(4)]
executable, _ = frontend.compile(frontend.Kind.JAX, train, args, {}, names, [lib.Visibility.VIS_SECRET] * 4,
                                 lambda flat: ["out%d" % n for n in range(len(flat))])
out, best = sim(executable, *args), None
for _ in range(turns):
    began = time.perf_counter()
    out = sim(executable, *args)
    best = min(best or 1e9, time.perf_counter() - began)
print(json.dumps({"per_second": steps / best, "w1": np.array(out[0]).tolist(), "version": spu.__version__}))
"""
"""What the other environment runs: as many steps in one call as are timed, compiled before."""


def problem(activation: Activation) -> tuple[Network, training_data.Rows, list[Floats]]:
    """The network, the rows and the weights to begin with."""
    network = Network(WIDTHS, activation, RATE)
    return network, training_data.diabetes(), training_network.initial(network.shapes, 0)


def ours(activation: Activation, sealed: bool) -> Callable[[int], float]:
    """Trains so many iterations on shares and returns iterations a second."""
    network, rows, weights = problem(activation)
    shared = SharedTraining(network, rows.hospitals(3), weights, sealed=sealed, unguarded=True)
    shared.step()

    def turn(steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            shared.step()
        return steps / (time.perf_counter() - began)

    return turn


def theirs(python: str, activation: Activation, steps: int) -> tuple[float, str]:
    """SPU's iterations a second, and its version; its weights must be those of plain descent with that activation."""
    network, rows, weights = problem(activation)
    given = {
        "coefficients": activation.coefficients,
        "bound": activation.bound,
        "steps": steps,
        "turns": 2,
        "rate": network.step.value,
        "x": rows.features.tolist(),
        "y": rows.target.tolist(),
        "w1": weights[0].tolist(),
        "w2": weights[1].tolist(),
    }
    done = subprocess.run([python, "-c", PEER], input=json.dumps(given), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no word"])[-1])
    found = json.loads(done.stdout.splitlines()[-1])
    check = SharedTraining(network, rows.hospitals(3), weights, unguarded=True)
    for _ in range(steps):
        check.step()
    off = float(np.abs(np.array(found["w1"]) - check.reveal()[0]).max())
    assert off < 0.01, f"SPU and shares trained other weights: {off} apart"
    return float(found["per_second"]), str(found["version"])


def measure(report: Report, python: str | None, quick: bool, turns: int, progress: Progress) -> None:
    """All activations; a turn of ours, then one of theirs."""
    task = progress.add_task("training on shares", total=len(ACTIVATIONS) * turns)
    for name in ACTIVATIONS:
        activation, setting = (
            sigmoid_approximations.design(name),
            {"rows": 354, "widths": "11-10-1", "activation": name},
        )
        sealed, bare, peer, note = ours(activation, True), ours(activation, False), 0.0, ""
        best = {"sealed openings": 0.0, "openings as they are": 0.0}
        for _ in range(turns):
            best["sealed openings"] = max(best["sealed openings"], sealed(20 if quick else 100))
            best["openings as they are"] = max(best["openings as they are"], bare(20 if quick else 100))
            if python is not None and not note:
                try:
                    rate, version = theirs(python, activation, 2 if quick else 5)
                    peer = max(peer, rate)
                except (OSError, RuntimeError, AssertionError) as error:
                    note = f"SPU left out for {name}: {error}"
                    report.notes.append(note)
            progress.advance(task)
        over = "SPU" if peer else ""
        for operation, rate in best.items():
            ratio = rate / peer if peer else None
            report.add(Row("fedsec.mpc", f"iteration, {operation}", setting, rate, over, ratio))
        if peer:
            report.add(Row(f"SPU {version}", "iteration, SEMI2K of 64 bits", setting, peer))


def main(values: Sequence[str] | None = None) -> None:
    """Measure and publish."""
    made = parser(__doc__.splitlines()[0])
    made.add_argument("--spu", metavar="PYTHON", help="the Python of an environment with spu; left out without it")
    made.add_argument("--turns", type=count, default=3, help="turns of each (default 3)")
    options = made.parse_args(values)
    report = Report("Training on shares: iterations a second")
    if options.spu is None:
        report.notes.append("SPU left out: --spu names no Python that has it")
    with Progress(console=Console(stderr=True, quiet=options.json), transient=True) as progress:
        measure(report, options.spu, options.quick, 1 if options.quick else options.turns, progress)
    publish(report, "shared_training", options)


if __name__ == "__main__":
    main(sys.argv[1:])
