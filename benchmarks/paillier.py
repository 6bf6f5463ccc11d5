"""Paillier, ours and others': encrypt, add and decrypt in values a second and core, and bytes a value.

python benchmarks/paillier.py [--quick] [--json] [--output DIR] [--flower]

Everybody sums 16-bit values of 16 clients. phe encrypts one float at a time, as its users do; pypaillier and sf_heu
are given our packing; TenSEAL packs by itself. What a key costs once per epoch, its proof, is
measured too. Seconds are the process's CPU time, whatever threads it uses. A ratio
over phe is the product of what packing, the noise's policy and the engine bring, each measured. `--flower` adds a
whole round of ten hospitals with a million parameters each under Flower (many minutes).
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import PathFinder
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("RAYON_NUM_THREADS", "1")

import numpy as np
from common import Report, Row, parser, publish
from spine import rounds_on_flower

from fedsec.primitives import blum_modulus, modexp, packing, paillier, parallel
from fedsec.primitives.ciphertexts import HEADER

BITS, CLIENTS = 16, 16
SLOT = (CLIENTS * ((1 << BITS) - 1)).bit_length()
OPERATIONS = ("encrypt", "add", "decrypt")


@dataclass
class Subject:
    """Somebody who can encrypt, add and decrypt vectors of `values` values; ciphertexts are as he has them."""

    name: str
    setting: dict[str, Any]
    values: int
    encrypt: Callable[[np.ndarray], Any]
    add: Callable[[list[Any]], Any]
    decrypt: Callable[[Any], np.ndarray]
    size: Callable[[Any], int]
    """Bytes of the ciphertexts of one vector."""
    exact: bool = True


@dataclass
class Figures:
    """Values a second and core, of each operation, and bytes a value."""

    rates: dict[str, float]
    bytes: float


def cpu(step: Callable[[], object], seconds: float) -> float:
    """CPU seconds of the fastest of as many repetitions as fit."""
    fastest, until = float("inf"), time.perf_counter() + seconds
    while fastest == float("inf") or time.perf_counter() < until:
        began = time.process_time()
        step()
        fastest = min(fastest, time.process_time() - began)
    return fastest


def measure(subject: Subject, seconds: float) -> Figures:
    """Measure, and check that what comes out is the sum."""
    drawn = np.random.default_rng(1).integers(0, 1 << BITS, (2, subject.values), dtype=np.uint64)
    first, second = (subject.encrypt(row) for row in drawn)
    batches = [first, second] * (CLIENTS // 2)
    total = subject.add(batches)
    found, expected = subject.decrypt(total), drawn.sum(axis=0) * np.uint64(CLIENTS // 2)
    close = np.array_equal(found, expected) if subject.exact else np.allclose(found, expected, atol=1.0)
    if not close:
        raise RuntimeError(f"{subject.name}: the sum is wrong")
    rates = {
        "encrypt": subject.values / cpu(lambda: subject.encrypt(drawn[0]), seconds),
        "add": (CLIENTS - 1) * subject.values / cpu(lambda: subject.add(batches), seconds),
        "decrypt": subject.values / cpu(lambda: subject.decrypt(total), seconds),
    }
    return Figures(rates, subject.size(first) / subject.values)


# Ours


def ours(private: paillier.PrivateKey, engine: str, policy: paillier.Policy, ciphertexts: int) -> Subject:
    """An engine and a policy, on as many ciphertexts."""
    public = private.public
    values = ciphertexts * packing.capacity(SLOT, public.plaintext_bits)

    def use() -> None:
        os.environ["FEDSEC_ENGINE"] = engine

    def encrypt(x: np.ndarray) -> list[int]:
        use()
        return paillier.encrypt(public, packing.pack(x, SLOT, public.plaintext_bits), os.urandom, policy)

    def add(batches: list[list[int]]) -> list[int]:
        use()
        return paillier.add(public, batches)

    def decrypt(total: list[int]) -> np.ndarray:
        use()
        return packing.unpack(paillier.decrypt(private, total), values, SLOT, public.plaintext_bits)[0]

    def size(batch: Sequence[int]) -> int:
        return HEADER.size + len(batch) * public.ciphertext_bytes

    setting: dict[str, Any] = {"key_bits": public.bits, "policy": policy, "s": public.s}
    return Subject(
        f"paillier/{engine}/{policy}{'/s=2' * (public.s == 2)}", setting, values, encrypt, add, decrypt, size
    )


def precomputed(private: paillier.PrivateKey, engine: str, ciphertexts: int, seconds: float) -> float:
    """Values a second where the noise is there already: the part that is left."""
    public = private.public
    os.environ["FEDSEC_ENGINE"] = engine
    values = ciphertexts * packing.capacity(SLOT, public.plaintext_bits)
    x = np.random.default_rng(1).integers(0, 1 << BITS, values, dtype=np.uint64)
    best, until = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < until:
        pool = paillier.NoisePool(public, os.urandom, "fast")
        pool.fill(ciphertexts)
        began = time.process_time()
        pool.encrypt(packing.pack(x, SLOT, public.plaintext_bits))
        best = min(best, time.process_time() - began)
    return values / best


# Peers


def of_phe(key_bits: int) -> Subject:
    """One float a ciphertext, as phe's users do it."""
    import phe

    public, private = phe.generate_paillier_keypair(n_length=key_bits)

    def add(batches: list[list[Any]]) -> list[Any]:
        total = batches[0]
        for batch in batches[1:]:
            total = [a + b for a, b in zip(total, batch, strict=True)]
        return total

    return Subject(
        "phe",
        {"key_bits": key_bits},
        8,
        lambda x: [public.encrypt(float(v)) for v in x],
        add,
        lambda total: np.array([private.decrypt(c) for c in total], np.uint64),
        lambda batch: len(batch) * key_bits // 4,
    )


@lru_cache
def _rust() -> Any:
    here = str(Path(__file__).parent)
    spec = PathFinder.find_spec("paillier", [path for path in sys.path if path != here])  # its name is this file's
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("no module named paillier", name="pypaillier")
    module = importlib.util.module_from_spec(spec)
    sys.modules["paillier"] = module
    spec.loader.exec_module(module)
    return module


def of_pypaillier(key_bits: int) -> Subject:
    """pypaillier, given our packing; it keeps a margin of 21 bits."""
    rust = _rust()
    public, private = rust.generate_keypair(key_bits)
    room = public.plaintext_bound_bits - 1
    values = 16 * packing.capacity(SLOT, room)
    return Subject(
        "pypaillier",
        {"key_bits": key_bits, "packing": "ours"},
        values,
        lambda x: rust.encrypt_integers(public, packing.pack(x, SLOT, room)),
        lambda batches: [rust.add_many(public, list(column)) for column in zip(*batches, strict=True)],
        lambda total: packing.unpack([m for m, _ in rust.decrypt_exact_many(private, total)], values, SLOT, room)[0],
        lambda batch: sum(map(len, batch)),
    )


def of_sf_heu(key_bits: int) -> Subject:
    """SecretFlow's HEU (ZPaillier), given our packing."""
    from heu import phe as heu

    schema = heu.SchemaType.ZPaillier
    kit = heu.setup(schema, key_bits)
    encryptor, decryptor, evaluator = kit.encryptor(), kit.decryptor(), kit.evaluator()
    room = key_bits - 2  # its plaintexts are signed
    values = 16 * packing.capacity(SLOT, room)

    def add(batches: list[list[Any]]) -> list[Any]:
        total = batches[0]
        for batch in batches[1:]:
            total = [evaluator.add(a, b) for a, b in zip(total, batch, strict=True)]
        return total

    return Subject(
        "sf_heu",
        {"key_bits": key_bits, "packing": "ours"},
        values,
        lambda x: [encryptor.encrypt(heu.Plaintext(schema, m)) for m in packing.pack(x, SLOT, room)],
        add,
        lambda total: packing.unpack([int(decryptor.decrypt(c)) for c in total], values, SLOT, room)[0],
        lambda batch: sum(len(c.serialize()) for c in batch),
    )


def of_tenseal(scheme: str) -> Subject:
    """TenSEAL's BFV with 4,096 slots, or CKKS with 8,192 coefficients, at 128-bit security."""
    import tenseal

    if scheme == "bfv":
        from fedsec.strategies.bfv import plaintext_modulus

        slots, modulus = 4096, plaintext_modulus(4096, 34)
        context = tenseal.context(tenseal.SCHEME_TYPE.BFV, poly_modulus_degree=4096, plain_modulus=modulus)
        make = tenseal.bfv_vector
    else:
        slots = 4096
        context = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS, poly_modulus_degree=8192, coeff_mod_bit_sizes=[60, 40, 40, 60]
        )
        context.global_scale = 2.0**40
        make = tenseal.ckks_vector

    def add(batches: list[Any]) -> Any:
        total = batches[0]
        for batch in batches[1:]:
            total = total + batch
        return total

    setting = {"slots": slots, "degree": 4096 if scheme == "bfv" else 8192}
    return Subject(
        f"TenSEAL {scheme.upper()}",
        setting,
        slots,
        lambda x: make(context, x.tolist()),
        add,
        lambda total: np.rint(np.array(total.decrypt())).astype(np.uint64),
        lambda c: len(c.serialize()),
        scheme == "bfv",
    )


# What is reported


def compare(report: Report, key_bits: int, engines: Sequence[str], peers: Sequence[Subject], seconds: float) -> None:
    """Rows of one key size: ours, the default first, and the peers, each over phe and over sf_heu."""
    private = paillier.generate(key_bits, os.urandom)
    second = paillier.PrivateKey(private.p, private.q, paillier.noise_base(private.public.n, 2), 2)
    policies: tuple[paillier.Policy, ...] = ("conservative", "fast", "standard")
    subjects = [
        ours(private, engine, policy, 8 if policy == "standard" else 32) for engine in engines for policy in policies
    ]
    subjects += [ours(second, engines[0], policy, 16) for policy in ("conservative", "fast")]
    found: dict[str, Figures] = {}
    for subject in (*subjects, *peers):
        sys.stderr.write(f"{key_bits} bits: {subject.name}\n")
        found[subject.name] = measure(subject, seconds)
    for subject in (*subjects, *peers):
        one = found[subject.name]
        for operation in OPERATIONS:
            if subject in subjects and subject.setting["policy"] != "conservative" and operation != "encrypt":
                continue  # the noise's policy is encryption's alone
            rate, note = one.rates[operation], f"{one.bytes:.1f} bytes a value" if operation == "encrypt" else ""
            if subject in subjects and subject.setting["s"] == 1:
                note = "; ".join(filter(None, [factored(found, subject.name, operation), note]))
            for over in ("phe", "sf_heu") if subject in subjects else ("phe",):
                if over in found and subject.name != over:
                    ratio = rate / found[over].rates[operation]
                    report.add(Row(subject.name, operation, subject.setting, rate, over, ratio, note))
                    note = ""
            if subject.name == "phe":
                report.add(Row("phe", operation, subject.setting, rate, note=note))
    for engine in engines:
        rate = precomputed(private, engine, 32, seconds)
        ratio = rate / found["phe"].rates["encrypt"]
        setting = {"key_bits": key_bits, "policy": "fast, precomputed"}
        report.add(Row(f"paillier/{engine}/precomputed", "encrypt", setting, rate, "phe", ratio, "the online part"))


def factored(found: dict[str, Figures], name: str, operation: str) -> str:
    """A ratio over phe as what packing, policy and engine bring: by gmpy2 and `standard` in between."""
    policy = name.split("/")[2]
    steps = ("phe", "paillier/gmpy2/standard", f"paillier/gmpy2/{policy}", name)
    packs, chooses, computes = (after / before for before, after in pairwise(found[s].rates[operation] for s in steps))
    return f"packing {packs:.3g} x policy {chooses:.3g} x engine {computes:.3g}"


def proven_key(report: Report, key_bits: int, seconds: float) -> None:
    """What a key costs once per epoch: its proof, the check of it, and the noise's base, by GMP on every engine."""
    private, context = paillier.generate(key_bits, os.urandom), os.urandom(32)
    n = private.public.n
    proof = blum_modulus.prove(private.p, private.q, context, os.urandom)
    steps: dict[str, Callable[[], object]] = {
        "prove": lambda: blum_modulus.prove(private.p, private.q, context, os.urandom),
        "verify": lambda: blum_modulus.verify(n, proof, context),
        "derive h, s=1": lambda: paillier.noise_base(n, 1, context),
        "derive h, s=2": lambda: paillier.noise_base(n, 2, context),
    }
    for operation, step in steps.items():
        each = cpu(step, seconds)
        note = f"{each * 1e3:.0f} ms" + (f"; {len(proof):,} bytes" if operation == "prove" else "")
        report.add(Row("paillier/key", operation, {"key_bits": key_bits}, 1 / each, note=note))


def pack_and_unpack(report: Report, seconds: float) -> None:
    """Nanoseconds a value, at 3072 bits."""
    values = np.random.default_rng(1).integers(0, 1 << BITS, 400_000, dtype=np.uint64)
    packed = packing.pack(values, SLOT, 3071)
    for name, step in (
        ("pack", lambda: packing.pack(values, SLOT, 3071)),
        ("unpack", lambda: packing.unpack(packed, values.size, SLOT, 3071)),
    ):
        each = cpu(step, seconds) / values.size
        report.add(Row("packing", name, {"slot_bits": SLOT}, 1 / each, note=f"{each * 1e9:.1f} ns a value"))


def cores(report: Report, engine: str, seconds: float) -> None:
    """Wall time of encryption on one core and on two."""
    public = paillier.generate(3072, os.urandom).public
    os.environ["FEDSEC_ENGINE"] = engine
    plaintexts = [7] * 256
    paillier.encrypt(public, plaintexts, os.urandom)  # builds the table
    walls: dict[int, float] = {1: float("inf"), 2: float("inf")}
    until = time.perf_counter() + 4 * seconds
    while time.perf_counter() < until or min(walls.values()) == float("inf"):
        for threads in walls:
            os.environ["FEDSEC_THREADS"] = str(threads)
            began = time.perf_counter()
            paillier.encrypt(public, plaintexts, os.urandom)
            walls[threads] = min(walls[threads], time.perf_counter() - began)
    os.environ["FEDSEC_THREADS"] = "1"
    for threads, wall in walls.items():
        setting = {"key_bits": 3072, "threads": threads}
        over = {} if threads == 1 else {"over": "one thread", "ratio": walls[1] / wall}
        report.add(Row(f"paillier/{engine}/conservative", "encrypt, wall", setting, len(plaintexts) / wall, **over))


def on_flower(report: Report, hospitals: int, values: int) -> None:
    """A whole round on all cores, its memory, and the least that its modular products could take."""
    os.environ.pop("FEDSEC_THREADS", None)
    os.environ.pop("FEDSEC_ENGINE", None)
    lowest, done = [float("inf")], threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            lowest[0] = min(lowest[0], available())

    before = available()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    found = rounds_on_flower(["paillier"], values, 1, hospitals)
    done.set()
    watcher.join()
    fedavg, seconds = (found[name]["seconds"][-1] for name in ("fedavg", "paillier"))
    setting = {"hospitals": hospitals, "values": values, "key_bits": 3072, "policy": "conservative"}
    least = limit(hospitals, values)
    memory = (before - lowest[0]) / 2**30
    note = f"{seconds:.1f} s; the products alone {least:.1f} s on {parallel.cores()} cores; {memory:.1f} GiB in all"
    report.add(Row("fedavg on Flower", "round", setting, 1 / fedavg, note=f"{fedavg:.1f} s"))
    report.add(Row("paillier on Flower", "round", setting, 1 / seconds, "fedavg on Flower", fedavg / seconds, note))
    report.add(Row("products alone", "round", setting, 1 / least, "paillier on Flower", seconds / least))


def limit(hospitals: int, values: int) -> float:
    """Seconds of the round's modular products on all cores: those of encryption, of the witness and of decryption."""
    from fedsec.strategies.paillier import Paillier

    protocol, private = Paillier(), paillier.generate(3072, os.urandom)
    ciphertexts = protocol.columns(range(hospitals), values)
    fresh, key = [7] * 64, private.public
    encryption = cpu(lambda: paillier.encrypt(key, fresh, os.urandom), 2.0) / len(fresh)
    some = paillier.encrypt(key, fresh, os.urandom)
    addition = cpu(lambda: paillier.add(key, [some] * hospitals), 1.0) / len(fresh)
    decryption = cpu(lambda: paillier.decrypt(private, some), 2.0) / len(fresh)
    return ciphertexts * (hospitals * encryption + addition + decryption) / parallel.cores()


def available() -> float:
    """Bytes of memory that the machine has left."""
    with open("/proc/meminfo", encoding="ascii") as file:
        lines = dict(line.split(":") for line in file)
    return float(lines["MemAvailable"].split()[0]) * 1024


def main(values: Sequence[str] | None = None) -> None:
    """Measure and publish."""
    options = parser(__doc__ or "")
    options.add_argument("--flower", action="store_true", help="also a whole round of 10 x 10^6 on Flower")
    chosen = options.parse_args(values)
    os.environ["FEDSEC_THREADS"] = "1"
    seconds = 0.05 if chosen.quick else 1.5
    engines = modexp.available()
    report = Report(f"Paillier: {BITS}-bit values of {CLIENTS} clients, one core; engines here: {', '.join(engines)}")
    missing = [name for name in modexp.ENGINES if name not in engines]
    report.notes += [f"engine {name}: this processor lacks its instructions" for name in missing]
    lattice: list[Subject] = []
    for scheme in ("bfv", "ckks"):
        peer(report, lattice, f"TenSEAL {scheme.upper()}", lambda scheme=scheme: of_tenseal(scheme))
    for key_bits in (3072, 2048):
        peers: list[Subject] = [of_phe(key_bits)]
        peer(report, peers, "pypaillier", lambda bits=key_bits: of_pypaillier(bits))
        peer(report, peers, "sf_heu", lambda bits=key_bits: of_sf_heu(bits))
        compare(report, key_bits, engines, [*peers, *lattice], seconds)
        proven_key(report, key_bits, seconds)
    pack_and_unpack(report, seconds)
    cores(report, engines[0], seconds)
    if chosen.flower:
        on_flower(report, 3 if chosen.quick else 10, 10_000 if chosen.quick else 1_000_000)
    publish(report, "paillier", chosen, lambda: draw(report))


def draw(report: Report) -> Any:
    """Values a second and core of encryption and decryption, at 3072 bits."""
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(11, 5), layout="constrained")
    for axes, operation in zip(panels, ("encrypt", "decrypt"), strict=True):
        rates = {
            row.subject: row.per_second
            for row in report.rows
            if row.operation == operation and row.setting.get("key_bits", 3072) == 3072
        }
        names = sorted(rates, key=lambda name: rates[name])
        colours = ["#33658a" if name.startswith("paillier/") else "#b5651d" for name in names]
        bars = axes.barh(names, [rates[name] for name in names], color=colours)
        axes.bar_label(bars, [f" {rates[name]:,.0f}" for name in names], fontsize=8)
        axes.set_xscale("log")
        axes.set_xlim(right=max(rates.values()) * 12)
        axes.set_xlabel(f"{operation}: values a second, one core (log)")
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Paillier at 3072 bits (ours in blue), and lattices beside it", x=0.01, ha="left")
    return figure


def peer(report: Report, found: list[Subject], name: str, make: Callable[[], Subject]) -> None:
    """Add a peer where it is installed; say so where it is not."""
    try:
        found.append(make())
    except ImportError as error:
        note = f"{name}: not installed ({error.name})"
        if note not in report.notes:
            report.notes.append(note)


if __name__ == "__main__":
    main()
