"""The fuzzer, run long: `python tests/fuzz --cases 3000 --seed 1 [--kind NAME]`.

`--cases` is the total over all kinds. Prints a line for each kind and every finding; exit status 1
if there is one.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from fuzz.harness import cases, report, show  # noqa: E402
from fuzz.kinds import KINDS  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append")
    chosen = parser.parse_args()
    kinds = [kind for kind in KINDS if not chosen.kind or kind.name in chosen.kind]
    shares, total, done = sum(kind.share for kind in kinds), 0, 0
    for kind in kinds:
        count = math.ceil(chosen.cases * kind.share / shares)
        done += count
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            findings = list(cases(kind, count, chosen.seed, Path(folder)))
        print(report(kind.name, count, time.monotonic() - begin, findings), flush=True)
        total += len(findings)
        shown: set[str] = set()
        for finding in findings:
            place = finding.details.strip().splitlines()[-2:]
            if str(place) not in shown:  # one of a sort
                show(finding, chosen.seed)
            shown.add(str(place))
    print(f"{done} cases of {len(kinds)} kinds, {total} findings")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
