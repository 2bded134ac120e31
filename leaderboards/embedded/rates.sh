#!/bin/sh
# The search for rates of the suite demo-2: for each method its recipe's first rate, a quarter of it
# and four times as much, with one seed; chosen is the highest mean accuracy on the validation images
# of the ten transfer sets. Methods that serve classes that they did not learn learn on the vocabulary,
# the other two on four images a class of each set. No test image is read. Resumes.
# Usage: sh leaderboards/embedded/rates.sh OUTPUT [METHOD ...]
set -eu
output=${1:?where the trials go}
shift
rates() {
  case $1 in
    coop | kgcoop) echo 0.02,0.005,0.08,0.32 ;;
    cocoop | rpp | rpp:*) echo 0.02,0.005,0.08 ;;
    pomp) echo 0.02,0.005,0.08,0.00125,0.0003125 ;;
    vpt) echo 0.025,0.00625,0.1,0.4 ;;
    promptsrc) echo 0.025,0.00625,0.1 ;;
    maple) echo 0.026,0.0065,0.104,0.0016 ;;
    ivlp) echo 0.035,0.00875,0.14,0.56,2.24,8.96,35.84 ;;
    promptkd) echo 0.005,0.00125,0.02 ;;
    mma) echo 0.015,0.00375,0.06,0.24 ;;
    tcp) echo 0.002,0.0005,0.008,0.032,0.128 ;;
    taskres) echo 0.002,0.0005,0.008,0.032,0.128,0.512,2.048 ;;
    clip-lora) echo 0.001,0.00025,0.004,0.016,0.064 ;;
    tip-adapter-f) echo 0.001,0.00025,0.004,0.016,0.064 ;;
    clip-adapter) echo 0.2,0.05,0.8 ;;
  esac
}
[ $# -gt 0 ] || set -- coop kgcoop cocoop pomp rpp rpp:kd=off vpt promptsrc maple ivlp promptkd mma \
  tcp clip-lora clip-adapter taskres tip-adapter-f
for method; do
  case $method in
    taskres | tip-adapter-f) task=few-shot:suite=demo-2,shots=4 ;;
    *) task=cross-dataset:suite=demo-2 ;;
  esac
  rppbench tune --method "$method" --task "$task" --teacher demo-2-teacher \
    --vary "recipe.lr=$(rates "$method")" --validation targets --output "$output" \
    --name "$(echo "$method" | tr ':=' '--')"
done
