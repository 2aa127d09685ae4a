#!/usr/bin/env python3
"""movielens-latest-small as one CSV for a click model: label, user, movie, genres, year, time.

    prepare_movielens.py <folder of ratings.csv and movies.csv> OUT.csv [--order time|random]
                         [--seed N]

label: rating >= 3.5. genres: the film's list as one value, `|` within. year: of release, out of the
title; empty where it has none. Rows by (time, user, movie), or shuffled: then `time` is the row's
number, so that a split by time is a random split.
"""
import argparse
import csv
import random
import re


def films(folder):
    out = {}
    with open(folder + "/movies.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            year = re.search(r"\((\d{4})\)\s*$", row["title"])
            out[row["movieId"]] = (row["genres"], year.group(1) if year else "")
    return out


def ratings(folder):
    with open(folder + "/ratings.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield (int(row["timestamp"]), int(row["userId"]), int(row["movieId"]),
                   float(row["rating"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--order", choices=("time", "random"), default="time")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    known = films(asked.folder)
    rows = sorted(ratings(asked.folder))
    if asked.order == "random":
        random.Random(asked.seed).shuffle(rows)
    with open(asked.out, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["label", "user", "movie", "genres", "year", "time"])
        for number, (time, user, movie, rating) in enumerate(rows):
            genres, year = known.get(str(movie), ("", ""))
            when = number if asked.order == "random" else time
            writer.writerow([int(rating >= 3.5), user, movie, genres, year, when])
    print(f"{asked.out}: {len(rows)} rows")


if __name__ == "__main__":
    main()
