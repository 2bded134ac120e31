#!/bin/sh
# The search for rates of the suite demo-2: for each method its recipe's first rate, a quarter of it
# and four times as much, and so on, with one seed; then the two best of these with two more seeds.
# Chosen is the highest mean accuracy of the three seeds on the validation images of the ten transfer
# sets. Methods that serve classes that they did not learn learn on the vocabulary, the other two on
# four images a class of each set. No test image is read. Resumes.
# Usage: sh leaderboards/embedded/rates.sh OUTPUT [METHOD ...]
set -eu
output=${1:?where the trials go}
shift
rates() {
  case $1 in
    coop) echo 0.02,0.005,0.08,0.32,1.28,5.12,20.48 ;;
    kgcoop) echo 0.02,0.005,0.08,0.32 ;;
    cocoop) echo 0.02,0.005,0.08 ;;
    rpp | rpp:*) echo 0.02,0.005,0.08,0.00125 ;;
    pomp) echo 0.02,0.005,0.08,0.00125,0.0003125 ;;
    vpt) echo 0.025,0.00625,0.1,0.4 ;;
    promptsrc) echo 0.025,0.00625,0.1 ;;
    maple) echo 0.026,0.0065,0.104,0.0016 ;;
    ivlp) echo 0.035,0.00875,0.14,0.56,2.24,8.96,35.84 ;;
    promptkd) echo 0.005,0.00125,0.02,0.08,0.32 ;;
    mma) echo 0.015,0.00375,0.06,0.24 ;;
    tcp) echo 0.002,0.0005,0.008,0.032,0.128 ;;
    taskres) echo 0.002,0.0005,0.008,0.032,0.128,0.512,2.048,8.192,32.768 ;;
    clip-lora) echo 0.001,0.00025,0.004,0.016,0.064 ;;
    tip-adapter-f) echo 0.001,0.00025,0.004,0.016,0.064 ;;
    clip-adapter) echo 0.2,0.05,0.8 ;;
  esac
}
best() { # the two rates with the highest sum over these pages, of equals those tried first
  awk -F'|' '/^\| [0-9.]+ \|/ { rate = $2 + 0; if (!(rate in sum)) tried[++n] = rate; sum[rate] += $4 }
    END { for (i = 1; i <= n; i++) print sum[tried[i]], tried[i] }' "$@" | LC_ALL=C sort -s -k1,1nr | head -2 |
    cut -d' ' -f2 | paste -sd, -
}
[ $# -gt 0 ] || set -- coop kgcoop cocoop pomp rpp rpp:kd=off vpt promptsrc maple ivlp promptkd mma \
  tcp clip-lora clip-adapter taskres tip-adapter-f
name() { echo "$1" | tr ':=' '--'; }
try() { # METHOD, and what to try
  case $1 in
    taskres | tip-adapter-f) task=few-shot:shots=4 ;;
    *) task=cross-dataset ;;
  esac
  rppbench tune --task "$task" --validation targets --output "$output" --method "$@"
}
for method; do
  try "$method" --vary "recipe.lr=$(rates "$method")" --name "$(name "$method")"
done
for method; do
  case $method in # RPP has one recipe with and without a teacher: name both
    rpp | rpp:*) pages="$output/tune/rpp/tune.md $output/tune/rpp-kd-off/tune.md" ;;
    *) pages=$output/tune/$method/tune.md ;;
  esac
  # shellcheck disable=SC2086  # pages are meant to be split
  cat $pages >/dev/null
  # shellcheck disable=SC2086
  two=$(best $pages)
  try "$method" --vary "recipe.lr=$two" --seed 2 3 --name "$(name "$method")-seeds"
done
