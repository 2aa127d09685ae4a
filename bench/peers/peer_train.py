#!/usr/bin/env python3
"""One pass of one peer over rows of Vowpal Wabbit's text, as one line of JSON: examples, CPU
seconds of learning (start and imports left out), progressive log loss in nats, peak memory of the
process.

    peer_train.py vw-logistic | vw-cached | vw-lrqfa | river-logistic | river-fm ROWS.vw [--rows N]

The namespaces are A to L, one feature each; A and B are crossed. `--rows` cuts the slow ones short.
River's rows are parsed, and the cache of vw-cached is written, before the clock starts.
"""
import argparse
import json
import math
import os
import resource
import time

FACTORS = 8
LOGISTIC = "--sgd --adaptive -l 0.1 --power_t 0.5 -b 24 --interactions AB"
VW = {
    "vw-logistic": LOGISTIC,
    "vw-cached": LOGISTIC + " --cache_file {path}.cache",
    "vw-lrqfa": "--sgd --adaptive -l 0.1 --power_t 0.5 -b 24 "
                f"--lrqfa ABCDEFGHIJKL{FACTORS}",
}


def vw(flags, path, rows):
    from vowpalwabbit import Workspace
    flags = f"-d {path} --no_stdin --quiet --loss_function logistic " + flags.format(path=path)
    if rows:
        flags += f" --examples {rows}"
    if "--cache_file" in flags and not os.path.exists(path + ".cache"):
        Workspace(flags).finish()
    begun = time.process_time()
    workspace = Workspace(flags)
    seconds = time.process_time() - begun
    return workspace.get_weighted_examples(), seconds, workspace.get_sum_loss()


def parse(path, rows):
    out = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            words = line.split()
            names = [a[1:] + b for a, b in zip(words[1::2], words[2::2])]
            features = dict.fromkeys(names, 1.0)
            features[names[0] + "*" + names[1]] = 1.0
            out.append((features, words[0] == "1"))
            if rows and len(out) == rows:
                break
    return out


def river(model, path, rows):
    parsed = parse(path, rows)
    loss = 0.0
    begun = time.process_time()
    for features, label in parsed:
        p = model.predict_proba_one(features).get(True, 0.5)
        loss -= math.log(min(max(p if label else 1 - p, 1e-7), 1))
        model.learn_one(features, label)
    return len(parsed), time.process_time() - begun, loss


def river_logistic(path, rows):
    from river import linear_model, optim
    return river(linear_model.LogisticRegression(optimizer=optim.AdaGrad(0.1), l2=0.0), path, rows)


def river_fm(path, rows):
    from river import facto, optim
    model = facto.FMClassifier(n_factors=FACTORS, weight_optimizer=optim.AdaGrad(0.1),
                               latent_optimizer=optim.AdaGrad(0.05), seed=1)
    return river(model, path, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("peer", choices=[*VW, "river-logistic", "river-fm"])
    parser.add_argument("path")
    parser.add_argument("--rows", type=int, default=0)
    asked = parser.parse_args()
    if asked.peer in VW:
        count, seconds, loss = vw(VW[asked.peer], asked.path, asked.rows)
    elif asked.peer == "river-fm":
        count, seconds, loss = river_fm(asked.path, asked.rows)
    else:
        count, seconds, loss = river_logistic(asked.path, asked.rows)
    print(json.dumps({"name": asked.peer, "examples": int(count), "seconds": seconds,
                      "logloss": loss / count,
                      "resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
