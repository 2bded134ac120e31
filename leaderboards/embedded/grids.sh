#!/bin/sh
# The grids of ../grids, each with its own seeds. Resumes.
# Usage: sh leaderboards/embedded/grids.sh OUTPUT
set -eu
output=${1:?where the records go}
for grid in leaderboards/grids/*.yaml; do
  [ "$grid" = leaderboards/grids/base.yaml ] || rppbench ablate --config "$grid" --output "$output"
done
