#!/bin/sh
# Every method on every task of the embedded world, three seeds; under three hours on two cores, and
# to be stopped and repeated at will. Usage: sh leaderboards/embedded/run.sh OUTPUT
set -eu
output=${1:?where the records go}
run() { rppbench run --engine processes:workers=2 --seed 1 2 3 --output "$output" "$@"; }

prompts="zeroshot coop kgcoop pomp rpp maple vpt ivlp promptsrc promptkd"
every="$prompts cocoop clip-adapter"
closed="linear-probe tip-adapter tip-adapter-f" # know only the classes that they learned
# shellcheck disable=SC2086  # words are meant to be split
{
  run --method $every rpp:kd=off --task cross-dataset cross-domain pretraining
  run --method $every $closed --task few-shot:shots=4
  run --method $every --task base-to-new:shots=4
  # Without CoCoOp: it encodes all classes anew for each of a hundred crops an image.
  run --method $prompts clip-adapter rpp:kd=off --task segmentation detection
}
run --method pomp rpp --task fine-tune:shots=4
rppbench leaderboard --output "$output"
