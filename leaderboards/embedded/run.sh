#!/bin/sh
# Every method on every task of the embedded world: five seeds across data sets, three elsewhere. To
# be stopped and repeated at will. Usage: sh leaderboards/embedded/run.sh OUTPUT
set -eu
output=${1:?where the records go}
run() { rppbench run --engine processes:workers=2 --output "$output" "$@"; }

open="zeroshot coop kgcoop pomp tcp rpp rpp:kd=off maple vpt ivlp promptsrc promptkd clip-adapter
  clip-lora mma cocoop"
closed="linear-probe tip-adapter tip-adapter-f gda taskres" # know only the classes that they learned
# shellcheck disable=SC2086  # words are meant to be split
{
  run --method $open --task cross-dataset --seed 1 2 3 4 5
  run --method $open --task cross-domain pretraining --seed 1 2 3
  run --method $open $closed --task few-shot:shots=4 --seed 1 2 3
  run --method $open --task base-to-new:shots=4 --seed 1 2 3
  run --method $open --task segmentation detection:proposals=small --seed 1 2 3
}
run --method pomp rpp --task fine-tune:shots=4 --seed 1 2 3
rppbench leaderboard --output "$output"
