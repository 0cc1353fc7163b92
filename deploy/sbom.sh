#!/bin/sh
# What the program is made of, as CycloneDX 1.6 on standard output: every crate that is linked into it, with its licence and
# the checksum that Cargo.lock holds it to, and the Debian packages of the libraries beside it, named as arguments.
#
#   deploy/sbom.sh [PACKAGE…]
#
# No time and no serial number: the same source gives the same file.
set -eu
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
crates=$(cargo tree --locked --quiet --edges normal,no-proc-macro --target "$target" --prefix none --no-dedupe \
    --format '{p}|{l}' | sort -u)

{
    awk '/^name = /     { gsub(/"/, "", $3); name = $3 }
         /^version = /  { gsub(/"/, "", $3); version = $3 }
         /^checksum = / { gsub(/"/, "", $3); print "checksum|" name "|" version "|" $3 }' Cargo.lock
    printf '%s\n' "$crates" | sed 's/^/crate|/'
    for package in "$@"; do
        dpkg-query -W -f 'package|${Package}|${Version}|${Architecture}\n' "$package"
    done
} | awk -F '|' '
    $1 == "checksum" { checksum[$2 " " $3] = $4 }
    $1 == "crate" {
        split($2, words, " ")
        name = words[1]; version = substr(words[2], 2)
        licence = $3
        gsub(/ *\/ */, " OR ", licence) # as some wrote it before SPDX expressions
        if (name == "smh-gateway") {
            printf "{\n  \"bomFormat\": \"CycloneDX\",\n  \"specVersion\": \"1.6\",\n  \"version\": 1,\n"
            ours = sprintf("    \"component\": { \"type\": \"application\", \"name\": \"%s\", \"version\": \"%s\", \"licenses\": [{ \"expression\": \"%s\" }] }", name, version, licence)
            next
        }
        line[++lines] = sprintf("    { \"type\": \"library\", \"name\": \"%s\", \"version\": \"%s\", \"purl\": \"pkg:cargo/%s@%s\",\n      \"licenses\": [{ \"expression\": \"%s\" }],\n      \"hashes\": [{ \"alg\": \"SHA-256\", \"content\": \"%s\" }] }", name, version, name, version, licence, checksum[name " " version])
    }
    $1 == "package" {
        escaped = $3
        gsub(/\+/, "%2B", escaped); gsub(/:/, "%3A", escaped)
        line[++lines] = sprintf("    { \"type\": \"library\", \"name\": \"%s\", \"version\": \"%s\", \"purl\": \"pkg:deb/debian/%s@%s?arch=%s\" }", $2, $3, $2, escaped, $4)
    }
    END {
        printf "  \"metadata\": {\n%s\n  },\n  \"components\": [\n", ours
        for (i = 1; i <= lines; i++) printf "%s%s\n", line[i], i < lines ? "," : ""
        printf "  ]\n}\n"
    }'
