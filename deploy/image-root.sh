#!/bin/sh
# All that the image has, in a folder: the program, the libraries that it is linked with, one line for the resolver, and
# what it is made of. Roots for TLS are compiled in, and times are UTC.
#
#   deploy/image-root.sh PROGRAM FOLDER
#
# For the builder of Containerfile, and for the test of the image, on Debian.
set -eu
program=$1 root=$2

install -D --strip "$program" "$root/usr/bin/smh-gateway"
libraries=$(ldd "$program" | grep -o '/[^ ]*')
# shellcheck disable=SC2086 # one word each
cp --parents --dereference --target-directory "$root" $libraries
install -d "$root/etc" "$root/usr/share/sbom"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
# shellcheck disable=SC2046
"$(dirname "$0")/sbom.sh" $(for library in $libraries; do dpkg -S "$library" "/usr$library" 2>/dev/null || true; done |
    cut -d : -f 1 | sort -u) >"$root/usr/share/sbom/smh-gateway.cdx.json"
