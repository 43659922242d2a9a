#!/bin/bash
# Restarts and an upgrade under load, on a booted Debian with Postfix.
source "$(dirname "$0")/lib.sh"
source "$here/container.sh"
boot "$cache/bookworm-postfix" load --bind-ro="$results/packages/deb:/packages"
exit 0
