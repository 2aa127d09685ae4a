#!/usr/bin/env bash
# The documents keep their word: every sh block of the tutorial and of the README's first contact is
# run in order against a real server, and what they promise is looked for in what comes back.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x "${LEAT_BINARY:-}" ] || { echo "LEAT_BINARY is not set: the documents were not run"; exit 77; }
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
    printf 'tutorial: %s\n' "$*" >&2
    exit 1
}

# The first start finds a free port; a restart keeps it.
start_server() {
    "$LEAT_BINARY" serve --data "$folder/data" --listen "${address:-127.0.0.1:0}" \
        >"$folder/server.txt" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        address=$(sed -n 's|^listening on http://||p' "$folder/server.txt")
        [ -n "$address" ] && curl -sf "http://$address/readyz" >/dev/null && return
        sleep 0.1
    done
    fail "the server did not start: $(cat "$folder/server.txt")"
}

kill_server() {
    kill "$1" "$server"
    wait "$server" 2>/dev/null || true
    server=
}

# block TEXT NAME: runs one block as a reader would, but on our server; its output is kept.
block() {
    local text=$1
    text=${text//127.0.0.1:8090/$address}
    text=${text//build\/release\/leat/$folder/leat}
    text=${text//build\/first-page/$folder/data}
    text=${text//build\//$folder/}
    case $1 in
        *"kill -9"*) eval "${text%%kill -9*}" && kill_server -9 ;;
        *"leat serve"*) start_server ;;
        *) eval "$text" >"$folder/$2" ;;
    esac
}

# blocks FILE: the sh blocks of a document, each ended by a NUL.
blocks() {
    awk '/^```sh$/ { on = 1; next } /^```$/ { if (on) printf "%c", 0; on = 0; next } on' "$1"
}

run_document() { # file, name
    local number=0
    while IFS= read -r -d '' text; do
        number=$((number + 1))
        block "$text" "$2.$number"
    done < <(blocks "$1")
}

# says NAME WORDS, is_silent NAME WORDS: what the output of a block has, or has not.
says() {
    grep -qF -- "$2" "$folder/$1" || fail "$1 does not say '$2': $(cat "$folder/$1")"
}
is_silent() {
    ! grep -qF -- "$2" "$folder/$1" || fail "$1 says '$2'"
}

run_document docs/tutorials/first-page.md page
says page.2 ready
says page.3 '"accepted":6'
says page.4 "did you mean 'click'?"
says page.5 '"items":[{"item":'
says page.7 'others went on to it from tide'
is_silent page.7 '"item":"tide"'
is_silent page.8 '"item":"boats"'
says page.8 '"item":"gulls"'
says page.9 '"user":"eve"'
says page.10 '"kind":"served"'
says page.13 equal
says page.14 '"forgotten":"eve"'
kill_server -TERM
rm -rf "$folder/data"

sed -n '/^## First contact/,/^## Configuration/p' README.md >"$folder/contact.md"
run_document "$folder/contact.md" contact
says contact.2 '"accepted":3'
says contact.4 '"items":[{"item":"bread"'
is_silent contact.4 '"item":"tea","score"'
is_silent contact.4 '"item":"violin","score"'
says contact.4 '"user":"ada"'
echo "every block of the documents was run"
