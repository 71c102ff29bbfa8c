#!/bin/sh
# Checks a pack's signature with OpenSSL alone (SPEC.md, section 17): check_signature.sh PACK KEY.pub
# Prints the key id and "Signature Verified Successfully"; needs OpenSSL 3 (or 1.1.1), od, dd.
set -eu
[ $# -eq 2 ] || { echo "usage: check_signature.sh PACK KEY.pub" >&2; exit 2; }
pack=$1 public=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

number() { od -A n -t "u$2" -j "$1" -N "$2" "$pack" | tr -d ' '; } # little-endian, on a little-endian machine
bytes() { od -A n -v -t x1 -j "$1" -N "$2" "$pack" | tr -d ' \n'; }

length=$(number 32 8)
[ "$(bytes "$length" 8)" = 894d504b5349470a ] || { echo "$pack: no signatures" >&2; exit 1; }
count=$(number $((length + 8)) 4)
key=$(openssl pkey -pubin -in "$public" -outform DER | tail -c 32 | od -A n -v -t x1 | tr -d ' \n')
{ printf 'mempack pack signature, version 1\0'; dd if="$pack" bs=1 skip=96 count=32 2>/dev/null; } >"$work/message"

entry=0
while [ "$entry" -lt "$count" ]; do
    at=$((length + 16 + 96 * entry))
    if [ "$(bytes "$at" 32)" = "$key" ]; then
        dd if="$pack" of="$work/signature" bs=1 skip=$((at + 32)) count=64 2>/dev/null
        printf 'key %.16s: ' "$key"
        openssl pkeyutl -verify -pubin -inkey "$public" -rawin -in "$work/message" -sigfile "$work/signature"
        exit
    fi
    entry=$((entry + 1))
done
echo "$pack: not signed by $public" >&2
exit 1
