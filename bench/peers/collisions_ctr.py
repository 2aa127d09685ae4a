#!/usr/bin/env python3
"""Monolith's figure 7 (arXiv 2209.07663) on movielens-latest-small: DeepFM with a row for each id
against DeepFM whose ids share rows by hash, at equal total bytes; rating >= 3.5, ten epochs, three
seeds. Prints AUC by epoch as a table by tabs; exit code 1 unless the first is at least the second
at every epoch (means over the seeds).

    collisions_ctr.py LEAT DATA [--table FILE]

Rows of W floats (weight, embedding, AdaGrad's sums of both). Without collisions a row costs 4 W
bytes and at most OVERHEAD for its key, its part of the index and what else the table keeps of it.
The hashed variant needs none of that: it gets ids x (4 W + OVERHEAD) / 4 W rows of the same width,
parted between users and films as they are. The split is 80/20, random: by time four of five test
rows would be of users that were never seen.
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


def hashed_rows():
    return {name: count * (4 * FLOATS + OVERHEAD) // (4 * FLOATS) for name, count in IDS.items()}


def learn(binary, path, seed, more):
    out, _, _ = run([
        binary, "eval", "ctr", "--format", "csv", "--label", "label", "--features", "user,movie",
        "--time", "time", "--time-split", "0.8", "--epochs", str(EPOCHS), "--network", "deepfm",
        "--optimiser", "adagrad", "--seed", str(seed), "--dimension", str(DIMENSION), "--hidden",
        "64,32", "--rate", "0.01", "--rate-dense", "0.005", "--l2", "0.001", "--decay", "0",
        "--spread", "0.01", "--batch", "256", "--json", *more, path])
    by_epoch = [line["auc"] for line in lines_of(out) if "epoch" in line and "auc" in line]
    assert len(by_epoch) == EPOCHS, out
    return by_epoch


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("leat")
    parser.add_argument("data")
    parser.add_argument("--table", help="writes the means there too, for leat experiment plot")
    asked = parser.parse_args()
    rows = hashed_rows()
    flags = ["--hash-rows", ",".join(f"{name}={count}" for name, count in rows.items())]
    curves = {"apart": [], "hashed": []}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.csv")
        subprocess.run([sys.executable, os.path.join(HERE, "prepare_movielens.py"),
                        os.path.join(asked.data, "movielens-latest-small"), path, "--order",
                        "random"], check=True, stdout=subprocess.DEVNULL)
        for seed in SEEDS:
            curves["apart"].append(learn(asked.leat, path, seed, []))
            curves["hashed"].append(learn(asked.leat, path, seed, flags))
    ids = sum(IDS.values())
    print(f"{ids} ids x ({4 * FLOATS} + {OVERHEAD}) bytes = "
          f"{sum(rows.values())} rows x {4 * FLOATS} bytes: {flags[1]}")
    means = {name: [statistics.mean(e) for e in zip(*by_seed)] for name, by_seed in curves.items()}
    lines = ["epoch\ta row for each id\thashed, equal bytes"]
    for epoch in range(EPOCHS):
        lines.append(f"{epoch + 1}\t{means['apart'][epoch]:.5f}\t{means['hashed'][epoch]:.5f}")
    print("\n".join(lines))
    least = min(a - b for pair in zip(curves["apart"], curves["hashed"]) for a, b in zip(*pair))
    print(f"smallest difference of one seed and epoch: {least:+.5f}")
    if asked.table:
        with open(asked.table, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    return any(a < b for a, b in zip(means["apart"], means["hashed"]))


if __name__ == "__main__":
    sys.exit(main())
