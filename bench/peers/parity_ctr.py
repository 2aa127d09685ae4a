#!/usr/bin/env python3
"""Parity of known models: `leat eval ctr` beside NumPy (ctr_numpy.py), with the same sizes, rows,
split and optimiser; the same rows from the same CSV; three seeds. Prints a table in Markdown; exit
code 1 when a mean AUC differs by more than TOLERANCE.

    parity_ctr.py LEAT DATA [--only movielens|kuairand]

DATA: the folder that holds movielens-latest-small and kuairand27k-kcore15. One pass over the first
80 % by time, AUC on the rest. Times are CPU seconds: leat's of its whole process, NumPy's of
learning and predicting alone.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import ctr_numpy
from compare_peers import lines_of, run

HERE = os.path.dirname(os.path.abspath(__file__))
TOLERANCE = 0.003
SEEDS = (1, 2, 3)
SIZES = {"dimension": 8, "hidden": (64, 32), "cross": 2, "rate": 0.05, "rate_dense": 0.02,
         "l2": 0.0, "spread": 0.01, "batch": 64}
SETS = {
    "movielens": ("movielens-latest-small", "prepare_movielens.py",
                  ["user", "movie", "genres", "year"]),
    "kuairand": ("kuairand27k-kcore15/processed_standard_kcore_15.csv", "prepare_kuairand.py",
                 ["user", "video", "hour", "duration"]),
}


def ours(binary, path, fields, model, seed):
    out, seconds, _ = run([
        binary, "eval", "ctr", "--format", "csv", "--label", "label", "--features",
        ",".join(fields), "--time", "time", "--time-split", "0.8", "--epochs", "1",
        "--network", model, "--optimiser", "adagrad", "--seed", str(seed),
        "--dimension", str(SIZES["dimension"]), "--hidden", ",".join(map(str, SIZES["hidden"])),
        "--cross", str(SIZES["cross"]), "--rate", str(SIZES["rate"]),
        "--rate-dense", str(SIZES["rate_dense"]), "--l2", str(SIZES["l2"]),
        "--decay", "0", "--spread", str(SIZES["spread"]), "--batch", str(SIZES["batch"]),
        "--json", path])
    return lines_of(out)[-1]["auc"], seconds


def theirs(rows, fields, model, seed):
    ids, labels, count, cut = rows
    begun = time.process_time()
    sizes = {key: SIZES[key] for key in SIZES}
    net = ctr_numpy.Model(model, len(fields), count, seed=seed, **sizes)
    net.fit(ids[:cut], labels[:cut])
    scores = net.predict(ids[cut:])
    seconds = time.process_time() - begun
    return ctr_numpy.auc(labels[cut:], scores), seconds


def compare(binary, name, path, fields):
    rows = ctr_numpy.read_rows(path, fields, 0.8)
    worst = 0
    for model in ("fm", "deepfm", "dcn"):
        pairs = [(ours(binary, path, fields, model, s), theirs(rows, fields, model, s))
                 for s in SEEDS]
        mine = [a[0] for a, _ in pairs]
        other = [b[0] for _, b in pairs]
        gap = statistics.mean(mine) - statistics.mean(other)
        worst = max(worst, abs(gap))
        print(f"| {name} | {model} | {statistics.mean(mine):.4f} | {min(mine):.4f}-{max(mine):.4f} "
              f"| {statistics.mean(other):.4f} | {min(other):.4f}-{max(other):.4f} | {gap:+.4f} "
              f"| {statistics.mean(a[1] for a, _ in pairs):.2f} "
              f"| {statistics.mean(b[1] for _, b in pairs):.2f} |", flush=True)
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("leat")
    parser.add_argument("data")
    parser.add_argument("--only", choices=SETS)
    asked = parser.parse_args()
    print(f"NumPy {np.__version__}; {json.dumps(SIZES)}\n")
    print("| rows | model | leat AUC | seeds | NumPy AUC | seeds | gap | leat s | NumPy s |\n"
          "|---|---|---|---|---|---|---|---|---|")
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, (source, prepare, fields) in SETS.items():
            if asked.only in (None, name):
                path = os.path.join(folder, name + ".csv")
                subprocess.run([sys.executable, os.path.join(HERE, prepare),
                                os.path.join(asked.data, source), path],
                               check=True, stdout=subprocess.DEVNULL)
                worst = max(worst, compare(asked.leat, name, path, fields))
    print(f"\nlargest gap {worst:.4f}, {TOLERANCE} allowed")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
