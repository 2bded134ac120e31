#!/bin/sh
# The curve over shots, of what learns fast and of RPP. The table of 4 shots is made by run.sh.
# Usage: sh leaderboards/embedded/shots.sh OUTPUT
set -eu
output=${1:?where the records go}
for shots in 1 2 8 16; do
  rppbench run --engine processes:workers=2 --seed 1 2 3 --output "$output" \
    --task "few-shot:shots=$shots" --method zeroshot coop kgcoop rpp clip-adapter linear-probe \
    tip-adapter tip-adapter-f
done
rppbench leaderboard --output "$output"
