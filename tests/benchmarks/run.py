"""All benchmarks: ``python tests/benchmarks/run.py --shared ../shared``; tables here, figures in build/bench/."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bench_care
import bench_instances
import bench_noise2void
import bench_stardist
import bench_unet
import tables
from rich.console import Console

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run the benchmarks and return 0 if all demands are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = os.environ.get("DL4FIJI_SHARED", str(REPOSITORY.parent / "shared"))
    parser.add_argument("--shared", type=Path, default=Path(default), help="folder that holds data/")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each trainer")
    parser.add_argument("--only", choices=sorted(BENCHMARKS), help="one of the benchmarks; all by default")
    parser.add_argument("--set", help="one data set of the benchmark named by --only")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "bench")
    arguments = parser.parse_args()
    console = Console(width=150)
    if not (arguments.shared / "data" / "fmd-denoising").is_dir():
        console.print(f"No data/fmd-denoising in {arguments.shared}: name the folder that holds data/ by --shared.")
        return 2
    if arguments.set:
        sets = getattr(BENCHMARKS[arguments.only][0], "SETS", {}) if arguments.only else {}
        if arguments.set not in sets:
            console.print(
                f"--set is one of {', '.join(sets) or 'the data sets of --only noise2void, stardist or unet'}."
            )
            return 2
        BENCHMARKS[arguments.only][0].SETS = {arguments.set: sets[arguments.set]}
    arguments.output.mkdir(parents=True, exist_ok=True)
    passed = True
    for name in [arguments.only] if arguments.only else BENCHMARKS:
        benchmark, show = BENCHMARKS[name]
        work = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=arguments.output))
        try:
            result = benchmark.run(arguments.shared, work, arguments.seeds)
        except SystemExit:
            console.print(f"The logs are in {work}.")
            raise
        shutil.rmtree(work)
        result["machine"] = machine()
        (arguments.output / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        show(result, console)
        passed = passed and result["summary"]["passed"]
    return 0 if passed else 1


def machine() -> dict[str, Any]:
    """Say on what the figures were taken."""
    from dl4fiji.training.device import cpu_title

    return {
        "cpu": cpu_title(), "platform": platform.platform(), "python": platform.python_version(),
        "tensorflow": version("tensorflow"), "csbdeep": version("csbdeep"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "load": os.getloadavg(),
    }  # fmt: skip


BENCHMARKS: dict[str, tuple[Any, Any]] = {
    "care": (bench_care, tables.show_care),
    "noise2void": (bench_noise2void, tables.show_noise2void),
    "stardist": (bench_stardist, tables.show_stardist),
    "unet": (bench_unet, tables.show_unet),
    "instances": (bench_instances, tables.show_instances),
}
"""What is measured, and how its table is printed."""


if __name__ == "__main__":
    sys.exit(main())
