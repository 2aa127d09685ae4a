#!/usr/bin/env python3
"""leat beside its peers on the same work, in one run: a round asks each of them once, so that what
else the machine does falls on all alike. Prints medians over the rounds, and ratios.

    compare_peers.py LEAT [--rows N] [--rounds N] [--only train|table]

Speed of learners is examples per CPU second of one pass; of leat that of the whole process, start
and end included. Log loss is progressive, each row before it is learnt, and comparable where the
number of rows is the same. The cached ones read encoded rows that were written before. Tables: leat
by the clock, peers by CPU time, which favours them on a busy machine.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(HERE, "..", "..", "build", "peers")
PYTHON = os.path.join(BUILD, "venv", "bin", "python")
TABLE_ROWS = 10000000  # of `leat bench table`
SLOW_ROWS = {"vw-lrqfa": 100000, "river-logistic": 50000, "river-fm": 5000}

RATES = ["--optimiser", "adagrad", "--rate", "0.1", "--rate-dense", "0.1"]  # as VW's -l 0.1
LEAT = {
    "leat-logistic": ["--network", "logistic", "--interactions", "AB", *RATES],
    "leat-cached": ["--network", "logistic", *RATES],
    "leat-fm": ["--network", "fm", "--dimension", "8", "--interactions", "AB", *RATES],
}
PAIRS = [("leat-logistic", "vw-logistic"), ("leat-cached", "vw-cached"),
         ("leat-cached", "vw-logistic"), ("leat-logistic", "river-logistic"),
         ("leat-fm", "vw-lrqfa"), ("leat-fm", "river-fm")]


def run(command):
    """Standard output, CPU seconds of the child, its peak memory."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode != 0:
            raise RuntimeError(f"{command[0]}: {err.read().strip()[-300:]}")
        return out.read(), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def lines_of(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def leat_train(binary, name, path, rows):
    flags = LEAT[name]
    words = ["--format", "vw", *flags, "--json", path]
    if name == "leat-cached":
        words = ["--format", "cache", *flags, "--json", path + ".leat"]
    out, seconds, resident = run([binary, "train", *words])
    last = lines_of(out)[-1]
    return {"examples": rows, "seconds": seconds, "logloss": last["logloss"],
            "resident": resident}


def peer_train(name, path):
    out, _, _ = run([PYTHON, os.path.join(HERE, "peer_train.py"), name, path, "--rows",
                     str(SLOW_ROWS.get(name, 0))])
    return lines_of(out)[-1]


def print_train(runs):
    print("\n| learner | examples / CPU second | log loss | rows | memory |\n|---|---|---|---|---|")
    rates = {}
    for name, results in runs.items():
        if results:
            rates[name] = statistics.median(r["examples"] / r["seconds"] for r in results)
            print(f"| {name} | {rates[name]:,.0f} | {results[-1]['logloss']:.4f} | "
                  f"{results[-1]['examples']:,} | {results[-1]['resident'] / 1e6:.0f} MB |")
    print()
    for ours, theirs in PAIRS:
        if ours in rates and theirs in rates:
            print(f"{ours} is {rates[ours] / rates[theirs]:.1f} x {theirs}")


def compare_train(binary, rows, rounds):
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        path = os.path.join(folder, "rows.vw")
        out, _, _ = run([binary, "bench", "train", "--rows", str(rows), "--out", path, "--json"])
        print(f"{rows:,} rows of 12 fields, A and B crossed; Bayes log loss "
              f"{lines_of(out)[-1]['bayes']:.4f}; {rounds} rounds", flush=True)
        run([binary, "train", "--format", "vw", *LEAT["leat-logistic"], "--cache", path + ".leat",
             path])
        peers = ["vw-logistic", "vw-cached", *SLOW_ROWS]
        runs = {name: [] for name in [*LEAT, *peers]}
        left_out = set()
        for _ in range(rounds):
            for name in runs:
                if name in left_out:
                    continue
                try:
                    runs[name].append(leat_train(binary, name, path, rows)
                                      if name in LEAT else peer_train(name, path))
                except (RuntimeError, KeyError, IndexError) as error:
                    print(f"left out: {name}: {error}")
                    left_out.add(name)
    print_train(runs)


def compare_table(binary, rounds):
    cases = {}
    peers = os.path.join(BUILD, "table_peers")
    for _ in range(rounds):
        commands = [[binary, "bench", "table", "--json"]]
        if os.path.exists(peers):
            commands.append([peers, str(TABLE_ROWS)])
        for command in commands:
            for line in lines_of(run(command)[0]):
                cases.setdefault(line["name"], []).append(line["median"])
    medians = {name: statistics.median(values) for name, values in cases.items()}
    print(f"\n{TABLE_ROWS:,} rows of 32 floats, half of the look-ups missing; {rounds} rounds\n")
    print("| case | per second |\n|---|---|")
    for name, value in medians.items():
        print(f"| {name} | {value:,.0f} |")
    print()
    for case in ("find-row", "insert"):
        for peer in ("boost", "abseil"):
            ours, theirs = medians.get(f"table/{case}"), medians.get(f"{peer}/{case}")
            if ours and theirs:
                print(f"table/{case} is {ours / theirs:.2f} x {peer}/{case}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("leat")
    parser.add_argument("--rows", type=int, default=4000000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("train", "table"))
    asked = parser.parse_args()
    if asked.only != "table":
        compare_train(asked.leat, asked.rows, asked.rounds)
    if asked.only != "train":
        compare_table(asked.leat, asked.rounds)


if __name__ == "__main__":
    sys.exit(main())
