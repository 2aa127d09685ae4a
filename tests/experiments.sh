#!/usr/bin/env bash
# The commands of the published experiments, end to end and small: the generator's rows are what
# `leat train --format criteo` reads, the sync-interval experiment gives the same on them as on the
# generator itself, and its charts are drawn.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x "${LEAT_BINARY:-}" ] || { echo "LEAT_BINARY is not set: nothing was run"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
stream=(--rows 21000 --ids 500 --spread 2 --mortal 0.2 --birth 20)
sync=(--network fm --shards 10,100 --json)

"$LEAT_BINARY" experiment stream "${stream[@]}" --out "$folder/rows.tsv" 2>/dev/null
"$LEAT_BINARY" experiment stream "${stream[@]}" 2>/dev/null | cmp - "$folder/rows.tsv"
"$LEAT_BINARY" train --format criteo --json "$folder/rows.tsv" 2>/dev/null >"$folder/train.txt"

"$LEAT_BINARY" experiment sync "${stream[@]}" "${sync[@]}" --plot "$folder/gain.svg" \
    --plot-auc "$folder/auc.svg" >"$folder/drawn.txt" 2>/dev/null
"$LEAT_BINARY" experiment sync --format criteo "$folder/rows.tsv" "${sync[@]}" \
    >"$folder/read.txt" 2>/dev/null
grep -q '</svg>' "$folder/gain.svg"
grep -q 'oracle' "$folder/auc.svg"
printf 'epoch\tone\ttwo\n1\t0.5\t0.7\n2\t0.6\t\n' >"$folder/table.txt"
"$LEAT_BINARY" experiment plot "$folder/table.txt" --out "$folder/table.svg"
grep -q '>two<' "$folder/table.svg"

python3 - "$folder" <<'PY'
import json
import sys

folder = sys.argv[1]


def lines(name):
    return [json.loads(line) for line in open(f"{folder}/{name}", encoding="utf-8")]


train = lines("train.txt")[-1]
assert train["examples"] == 21000 and train["refused"] == 0, train
drawn, read = lines("drawn.txt"), lines("read.txt")
assert [line["shards"] for line in drawn] == [10, 100]
for a, b in zip(drawn, read):
    assert a["oracle_auc"] > a["online_auc"] > a["batch_auc"], a
    assert b["oracle_auc"] is None, b
    for key in set(a) - {"oracle_auc", "seconds"}:
        assert a[key] == b[key], (key, a, b)
assert drawn[1]["gain_points"] > drawn[0]["gain_points"] > 0
PY

# Refused with words, before anything is learnt.
refused() {
    if "$LEAT_BINARY" experiment "$@" >/dev/null 2>"$folder/words.txt"; then
        echo "not refused: $*"
        exit 1
    fi
    grep -q "$word" "$folder/words.txt" || { cat "$folder/words.txt"; exit 1; }
}
word='from 0 to 1' refused sync --drift 2
word="network 'deep'" refused sync --network deep
word='shards of' refused sync --rows 700 --shards 100000
word='is not a number' refused sync --rows many
word='no file' refused plot "$folder/none.txt" --out "$folder/none.svg"
word='did you mean' refused strem
