#!/usr/bin/env bash
# What the comparisons need, under build/peers: a Python environment with the peers, and the hash
# tables' benchmark. A peer that does not install is left out, and named.
set -u
cd "$(dirname "$0")/../.." || exit 1
at=build/peers
mkdir -p $at

if [ ! -x $at/venv/bin/python ]; then
    python3 -m venv $at/venv || { echo "no Python environment could be made"; exit 1; }
fi
for package in numpy scipy vowpalwabbit==9.11.9 river; do
    name=${package%%=*}
    [ -e "$at/venv/.$name" ] && continue
    if $at/venv/bin/pip -q install "$package" 2>$at/$name.txt; then
        touch "$at/venv/.$name"
    else
        echo "left out: $package did not install: $(tail -n 1 $at/$name.txt)"
    fi
done

# Debian's packages are unpacked here, not installed.
headers() { # name, package
    [ -d "$at/$1/usr" ] && return
    mkdir -p "$at/$1"
    (cd "$at/$1" && apt-get -q download "$2" >download.txt 2>&1 && dpkg-deb -x ./*.deb .) ||
        echo "left out: $2 could not be had: $(tail -n 1 "$at/$1/download.txt")"
}
if [ ! -x $at/table_peers ] || [ bench/peers/table_peers.cc -nt $at/table_peers ]; then
    headers boost libboost1.81-dev
    headers abseil libabsl-dev
    # shellcheck disable=SC2046
    g++ -O3 -march=native -std=c++17 -I$at/boost/usr/include -I$at/abseil/usr/include \
        bench/peers/table_peers.cc -o $at/table_peers -Wl,--start-group \
        $(find $at/abseil -name 'libabsl_*.a') -Wl,--end-group -lpthread 2>$at/table_peers.txt ||
        echo "left out: the hash tables did not build: $(grep -m1 error $at/table_peers.txt)"
fi
exit 0
