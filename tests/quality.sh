#!/usr/bin/env bash
# Quality on real data, by the same commands that anyone can run. Needs DATA=<folder of data sets>.
set -eu
[ -n "${DATA:-}" ] || { echo "DATA is not set: quality on real data was not tested"; exit 77; }

# at_least JSON-LINES NAME FIELD GOAL: the field of the line called NAME reaches GOAL.
at_least() {
    python3 - "$@" <<'PY'
import json, sys
lines, name, field, goal = sys.argv[1:]
rows = {row["name"]: row for row in map(json.loads, open(lines))}
value = rows[name][field]
print(f"{name} {field} {value:.4f}, at least {goal}")
sys.exit(value < float(goal))
PY
}

# above JSON-LINES NAME MEASURE: the paired difference is more than 3 standard errors.
above() {
    python3 - "$@" <<'PY'
import json, sys
lines, name, measure = sys.argv[1:]
row = {row["name"]: row for row in map(json.loads, open(lines))}[name]
errors = row[measure + "_difference"] / row[measure + "_se"]
print(f"{name} {measure}: {errors:.1f} standard errors")
sys.exit(errors <= 3)
PY
}

out=$(mktemp)
trap 'rm -f "$out"' EXIT
if [ -d "$DATA/movielens-100k" ]; then
    "$LEAT_BINARY" replay --format movielens "$DATA/movielens-100k" --json >"$out"
    at_least "$out" "rating>=4" auc 0.774
fi
if [ -d "$DATA/kuairand27k-kcore15" ]; then
    "$LEAT_BINARY" replay --format kuairand "$DATA/kuairand27k-kcore15" --json |
        sed 's/"name":"\([a-z_]*\)","than":"\([a-z]*\)"/"name":"\1-\2"/' >"$out"
    for task in click long_view profile_enter; do
        at_least "$out" $task-logistic low 0.0005
    done
    at_least "$out" click-logistic auc 0.815
    at_least "$out" long_view-logistic auc 0.805
    at_least "$out" profile_enter-logistic auc 0.735
    at_least "$out" profile_enter-alone high 0
fi
if [ -d "$DATA/globo-news-clicks" ]; then
    "$LEAT_BINARY" replay --format globo "$DATA/globo-news-clicks" --sample 0.03 --json \
        --evaluate 2017-10-11T03:00:00Z..2017-10-13T03:00:00Z >"$out"
    at_least "$out" leat hr10 0.53
    at_least "$out" leat mrr10 0.24
    for baseline in leat-popular-1h leat-co-occurrence; do
        above "$out" $baseline hr10
        above "$out" $baseline mrr10
    done
fi
