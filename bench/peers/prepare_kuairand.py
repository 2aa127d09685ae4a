#!/usr/bin/env python3
"""KuaiRand (the 15-core of 27K) as one CSV for a click model: label, user, video, hour, duration,
time.

    prepare_kuairand.py <processed_standard_kcore_15.csv> OUT.csv [--label is_click]
                        [--order time|random] [--seed N]

label: is_click, long_view or any other column of 0 and 1. hour: of the day, in the app's time.
duration: the video's, in steps of half an octave of seconds. Rows by (time, user, video), or
shuffled: then `time` is the row's number, so that a split by time is a random split. The source is
parted by tabs, whatever its name says.
"""
import argparse
import csv
import math
import random


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--label", default="is_click")
    parser.add_argument("--order", choices=("time", "random"), default="time")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with open(asked.source, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    rows.sort(key=lambda r: (int(r["time_ms"]), int(r["user_id"]), int(r["video_id"])))
    if asked.order == "random":
        random.Random(asked.seed).shuffle(rows)
    with open(asked.out, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["label", "user", "video", "hour", "duration", "time"])
        for number, row in enumerate(rows):
            duration = math.floor(2 * math.log2(1 + int(row["duration_ms"]) / 1000))
            when = number if asked.order == "random" else int(row["time_ms"]) // 1000
            writer.writerow([row[asked.label], row["user_id"], row["video_id"],
                             int(row["hourmin"]) // 100, duration, when])
    print(f"{asked.out}: {len(rows)} rows")


if __name__ == "__main__":
    main()
