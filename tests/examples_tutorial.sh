#!/usr/bin/env bash
# The tutorial of examples keeps its word: every sh block is run in order against a real server.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x "${LEAT_BINARY:-}" ] || { echo "LEAT_BINARY is not set: the tutorial was not run"; exit 77; }
folder=$(mktemp -d)
ln -s "$LEAT_BINARY" "$folder/leat"
server=
address=

clean_up() {
    [ -z "$server" ] || kill -TERM "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    rm -rf "$folder"
}
trap clean_up EXIT

fail() {
    printf 'examples tutorial: %s\n' "$*" >&2
    exit 1
}

start_server() {
    "$LEAT_BINARY" serve -c "$folder/examples/leat.yaml" --listen 127.0.0.1:0 \
        >"$folder/server.txt" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        address=$(sed -n 's|^listening on http://||p' "$folder/server.txt")
        [ -n "$address" ] && curl -sf "http://$address/readyz" >/dev/null && return
        sleep 0.1
    done
    fail "the server did not start: $(cat "$folder/server.txt")"
}

block() { # text, name
    local text=$1
    case $text in *"leat serve"*) start_server; return ;; esac
    case $text in *.parquet*) ls build/lib/libduckdb.so >/dev/null 2>&1 || return 0 ;; esac
    text=${text//http:\/\/127.0.0.1:8090/http:\/\/$address}
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
    docs/tutorials/examples.md)

says 3 '"accepted":5'
says 4 EXAMPLES
says 4 .frames
says 5 '"user":"ada","request":"r1","item":"tide"'
says 5 '"mask_click":true,"label_click":true,"mask_hide":false,"label_hide":null'
says 5 '"item":"gulls"'
says 5 '"mask_click":true,"label_click":false'
says 6 '1 examples of rows 3 to 5'
! grep -qF gulls "$folder/6" || fail "block 6 has examples of another part"
[ ! -e build/lib/libduckdb.so ] || says 7 grouped.parquet
echo "every block of the tutorial was run"
