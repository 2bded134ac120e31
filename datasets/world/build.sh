#!/usr/bin/env bash
# Build the embedded world from its npm packages: its drawings, the style that they are shown in, and
# two CLIPs, which are trained on drawings that are not shipped.
#
#     ./build.sh [FOLDER]      # needs node, npm and an installed rppbench; over an hour on 2 cores
#
# FOLDER (default: build) holds what is only needed on the way: all drawings, those of the training
# packed (training/), and the CLIP that both come from (parent.*). The drawings come out equal byte for
# byte; the weights do not, for the schedules of the first two trainings follow the clock.
set -euo pipefail
cd "$(dirname "$0")"
out="${1:-build}"
mkdir -p "$out"

npm install --no-audit --no-fund
for what in training world; do
    python "pack_$what.py" jobs node_modules "$out/$what.json"
    node render.mjs "$out/$what.json" "$out/drawings"
    python "pack_$what.py" sheets node_modules "$out"
done

# Waiting threads that spin make two cores five times slower when anything else runs.
export OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0
python train.py parent "$out" --minutes 30
python train.py student "$out" --minutes 27
python export.py "$out"
python choose_style.py "$out/style.json" # names the style that styles.py must hold
python style_teacher.py "$out"
python style_teacher.py "$out" --export
python style_teacher.py "$out" --score
python proposer.py train "$out" --to ../../tasks/rppbench_tasks/proposing/small.safetensors

cp "$out"/{parent,student,teacher}.jsonl "$out"/style.{json,md} results/
