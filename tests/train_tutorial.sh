#!/usr/bin/env bash
# The tutorial of learning from files keeps its word: every sh block is run in order.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x "${LEAT_BINARY:-}" ] || { echo "LEAT_BINARY is not set: the tutorial was not run"; exit 77; }
folder=$(mktemp -d)
ln -s "$LEAT_BINARY" "$folder/leat"
trap 'rm -rf "$folder"' EXIT

fail() {
    printf 'train tutorial: %s\n' "$*" >&2
    exit 1
}

block() { # text, name
    local text=$1
    text=${text//build\/release\/leat/$folder/leat}
    text=${text//build\//$folder/}
    eval "$text" >"$folder/$2" 2>&1 || fail "block $2: $(cat "$folder/$2")"
}

says() { # name, words
    grep -qF -- "$2" "$folder/$1" || fail "block $1 does not say '$2': $(cat "$folder/$1")"
}

number=0
while IFS= read -r -d '' text; do
    number=$((number + 1))
    block "$text" "$number"
done < <(awk '/^```sh$/ { on = 1; next } /^```$/ { if (on) printf "%c", 0; on = 0; next } on' \
    docs/tutorials/train.md)

says 1 user,video,genres,seconds,liked,at
says 2 'train liked: pass 1, logloss 0.6'
says 2 row,task,label,probability
says 3 "there is no column 'usr'; did you mean 'user'?"
says 4 'broken.csv:3: 2 fields, not 3'
says 4 "broken.csv:4: liked: 'maybe' is not a number"
says 4 '2 malformed rows'
says 5 '{"name":"ctr/liked","epoch":3,"auc":0.'
says 6 'Bayes log loss'
says 6 '1 |A '
says 7 'pass 2'
says 8 long.model
! grep -qF long.model.notes "$folder/8" || fail "block 8 left notes behind"
# A file and its cache are the same examples.
[ "$(grep -c '50000 examples' "$folder/7")" = 3 ] || fail "block 7: $(cat "$folder/7")"
echo "every block of the tutorial was run"
