#!/bin/sh
# Whether the 400 steps of the suite demo-2 are enough: each method on the vocabulary with 200, 400
# and 800 steps, one seed, scored on the validation images of the ten transfer sets. Resumes.
# Usage: sh leaderboards/embedded/steps.sh OUTPUT [METHOD ...]
set -eu
output=${1:?where the trials go}
shift
[ $# -gt 0 ] || set -- coop kgcoop pomp tcp rpp vpt promptsrc maple ivlp promptkd mma clip-lora \
  clip-adapter
for method; do
  rppbench tune --method "$method" --task cross-dataset --vary recipe.steps=200,400,800 \
    --validation targets --output "$output" --name "$method-steps"
done
