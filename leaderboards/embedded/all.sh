#!/bin/sh
# All tables, all grids, and whether the steps suffice. To be stopped and repeated at will.
# Usage: sh leaderboards/embedded/all.sh OUTPUT
set -eu
output=${1:?where the records go}
here=$(dirname "$0")
for part in run shots grids steps; do
  sh "$here/$part.sh" "$output/$part"
done
