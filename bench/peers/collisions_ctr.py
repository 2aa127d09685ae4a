#!/usr/bin/env python3
"""Monolith's figure 7 (arXiv 2209.07663) on movielens-latest-small: DeepFM with a row for each id
against DeepFM whose ids share rows by hash, at equal total bytes; rating >= 3.5, ten epochs, three
seeds. Prints AUC by epoch as a table by tabs; exit code 1 unless the first is at least as good as
each of the others at every epoch (means over the seeds).

    collisions_ctr.py LEAT DATA [--table FILE]

Rows of W floats (weight, embedding, AdaGrad's sums of both). Without collisions a row costs 4 W
bytes and at most OVERHEAD for its key, its part of the index and what else the table keeps of it.
The hashed variants need none of that, and spend it in two ways: on more rows, ids x (4 W +
OVERHEAD) / 4 W of the same width, parted between users and films as they are; or on wider rows, as
many as there are ids. The split is 80/20, random: by time four of five test rows would be of users
that were never seen.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile

from compare_peers import lines_of, run

HERE = os.path.dirname(os.path.abspath(__file__))
SEEDS = (1, 2, 3)
EPOCHS = 10
DIMENSION = 8
FLOATS = 2 * (1 + DIMENSION)
OVERHEAD = 24
IDS = {"user": 671, "movie": 9066}


BYTES = 4 * FLOATS + OVERHEAD
MORE_ROWS = {name: count * BYTES // (4 * FLOATS) for name, count in IDS.items()}
WIDER = BYTES // 8 - 1


def hash_rows(rows):
    return ["--hash-rows", ",".join(f"{name}={count}" for name, count in rows.items())]


VARIANTS = {
    "a row for each id": ["--dimension", str(DIMENSION)],
    "hashed, more rows": ["--dimension", str(DIMENSION), *hash_rows(MORE_ROWS)],
    "hashed, wider rows": ["--dimension", str(WIDER), *hash_rows(IDS)],
}


def learn(binary, path, seed, more):
    out, _, _ = run([
        binary, "eval", "ctr", "--format", "csv", "--label", "label", "--features", "user,movie",
        "--time", "time", "--time-split", "0.8", "--epochs", str(EPOCHS), "--network", "deepfm",
        "--hidden", "64,32", "--optimiser", "adagrad", "--rate", "0.01", "--rate-dense", "0.005",
        "--l2", "0.001", "--decay", "0", "--spread", "0.01", "--batch", "256", "--seed", str(seed),
        "--json", *more, path])
    by_epoch = [line["auc"] for line in lines_of(out) if line["name"].startswith("epoch/")]
    assert len(by_epoch) == EPOCHS, out
    return by_epoch


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("leat")
    parser.add_argument("data")
    parser.add_argument("--table", help="writes the means there too, for leat experiment plot")
    asked = parser.parse_args()
    curves = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.csv")
        subprocess.run([sys.executable, os.path.join(HERE, "prepare_movielens.py"),
                        os.path.join(asked.data, "movielens-latest-small"), path, "--order",
                        "random"], check=True, stdout=subprocess.DEVNULL)
        for seed in SEEDS:
            for name, flags in VARIANTS.items():
                curves[name].append(learn(asked.leat, path, seed, flags))
    ids = sum(IDS.values())
    print(f"{ids} ids x ({4 * FLOATS} + {OVERHEAD}) bytes = {ids * BYTES} bytes; hashed: "
          f"{sum(MORE_ROWS.values())} rows of {4 * FLOATS} bytes, or {ids} rows of {BYTES} "
          f"(dimension {WIDER})")
    means = {name: [statistics.mean(e) for e in zip(*by_seed)] for name, by_seed in curves.items()}
    lines = ["\t".join(["epoch", *VARIANTS])]
    for epoch in range(EPOCHS):
        lines.append("\t".join([str(epoch + 1), *(f"{means[n][epoch]:.5f}" for n in VARIANTS)]))
    print("\n".join(lines))
    ours, *others = VARIANTS
    least = min(a - b for name in others for pair in zip(curves[ours], curves[name])
                for a, b in zip(*pair))
    print(f"smallest difference of one seed and epoch: {least:+.5f}")
    if asked.table:
        with open(asked.table, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    return int(any(a < b for name in others for a, b in zip(means[ours], means[name])))


if __name__ == "__main__":
    sys.exit(main())
