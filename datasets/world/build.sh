#!/usr/bin/env bash
# Build the embedded world from its npm packages: artwork, concepts, the CLIPs, their scores; then
# version 2 of the artwork, the choice of its style, and its teacher.
#
#     ./build.sh [FOLDER]      # needs node, npm and an installed rppbench; 90 minutes on 2 cores
#
# FOLDER (default: build) holds what is only needed on the way. The artwork comes out equal byte
# for byte; the weights do not, for their schedules follow the clock.
set -euo pipefail
cd "$(dirname "$0")"
out="${1:-build}"
mkdir -p "$out"

npm install --no-audit --no-fund
python pack.py jobs node_modules "$out/jobs.json"
node render.mjs "$out/jobs.json" "$out/drawings"
python pack.py sheets node_modules "$out/drawings"
python pack.py digests # training reads the artwork, and every read is checked

# Waiting threads that spin make two cores five times slower when anything else runs.
export OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0
python train.py teacher "$out" --minutes 30
python train.py student "$out" --minutes 26

python export.py "$out"
python pack.py digests # the weights are shipped files too
mkdir -p training
cp "$out/teacher.jsonl" "$out/student.jsonl" training/
python evaluate.py training/evaluation.json

python pack2.py jobs node_modules "$out/jobs2.json"
node render.mjs "$out/jobs2.json" "$out/drawings"
python pack2.py sheets node_modules "$out/drawings" # writes v2/roles.json too
python pack2.py digests
python choose_style.py "$out/style.json" # names the style that styles.py must hold
cp "$out/style.json" "$out/style.md" v2/
python teacher2.py "$out"
python teacher2.py "$out" --export
python pack2.py digests
cp "$out/teacher2.jsonl" v2/teacher.jsonl
python teacher2.py "$out" --score
