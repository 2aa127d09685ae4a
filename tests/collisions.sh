#!/usr/bin/env bash
# Table 1 of Monolith (arXiv 2209.07663), without its data: the paper's mapping of ids, MD5 modulo
# 1,000,000, leaves 149,970 of MovieLens-25M's 162,541 users and 57,361 of its 59,047 films; our
# table keeps all of them apart.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x "${LEAT_BINARY:-}" ] || { echo "LEAT_BINARY is not set: nothing was run"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 - "$folder/rows.csv" <<'PY'
import hashlib
import sys

USERS, FILMS = 162541, 59047


def hashed(index):
    """The index in decimal, its MD5 as a big-endian integer."""
    return int(hashlib.md5(str(index).encode()).hexdigest(), 16) % 1000000


for name, count, published in (("users", USERS, 149970), ("films", FILMS, 57361)):
    left = len({hashed(i) for i in range(count)})
    print(f"{name}: {count} ids, {left} after MD5 modulo 1,000,000 (published: {published})")
    assert left == published
with open(sys.argv[1], "w", encoding="utf-8") as file:
    file.write("click,user,film\n")
    for i in range(USERS):
        file.write(f"{i % 2},{i},{i % FILMS}\n")
PY

# rows OPTION...: of the table, after all of them were learnt.
rows() {
    "$LEAT_BINARY" train --format csv --label click --features user,film --network logistic \
        --json "$@" "$folder/rows.csv" 2>"$folder/train.txt" |
        python3 -c 'import json, sys; print(json.loads(sys.stdin.readlines()[-1])["rows"])'
}
apart=$(rows)
mixed=$(rows --hash-rows 1000000)
echo "table: $apart rows of $((162541 + 59047)) ids; with keys modulo 1,000,000: $mixed"
[ "$apart" = $((162541 + 59047)) ]
[ "$mixed" -lt "$apart" ]
