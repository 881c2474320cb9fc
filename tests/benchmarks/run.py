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
import bench_noise2void
import bench_stardist
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run the benchmarks and return 0 if all demands are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = os.environ.get("DL4FIJI_SHARED", str(REPOSITORY.parent / "shared"))
    parser.add_argument("--shared", type=Path, default=Path(default), help="folder that holds data/")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each trainer")
    parser.add_argument("--only", choices=sorted(BENCHMARKS), help="one of the benchmarks; all by default")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "bench")
    arguments = parser.parse_args()
    console = Console(width=120)
    if not (arguments.shared / "data" / "fmd-denoising").is_dir():
        console.print(f"No data/fmd-denoising in {arguments.shared}: name the folder that holds data/ by --shared.")
        return 2
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


def show_care(result: dict[str, Any], console: Console) -> None:
    """Print the table of CARE."""
    summary, inputs = result["summary"], result["input"]
    seeds = len(result["runs"]) // 2
    title = f"CARE 2D, 400 steps of 16 patches 64×64, mean (spread) of {seeds} seeds; {result['machine']['cpu']}"
    table = Table(title=title)
    columns = ("", "PSNR dB", "PSNR dB fitted", "SSIM", "steps/s", "CPU ms/step", "Mpx/s", "s in all", "peak MiB")
    for name in columns:
        table.add_column(name, justify="right" if name else "left")
    table.add_row("input", f"{inputs['psnr']:.2f}", f"{inputs['psnr_fitted']:.2f}", f"{inputs['ssim']:.3f}", *[""] * 5)
    perfect = result["perfect"]
    table.add_row("perfect", f"{perfect['psnr']:.2f}", "", f"{perfect['ssim']:.3f}", *[""] * 5)
    for trainer in bench_care.TRAINERS:
        row = summary[trainer]
        table.add_row(
            trainer, figure(row["psnr"], 2), figure(row["psnr_fitted"], 2), figure(row["ssim"], 3),
            figure(row["steps_per_second"], 2), figure(row["cpu_ms_per_step"], 0),
            figure(row["pixels_per_second"], 2, 1e6), figure(row["seconds"], 0), figure(row["peak_mib"], 0),
        )  # fmt: skip
    console.print(table)
    others = 100 * max(summary[trainer]["others_cpu"]["mean"] for trainer in bench_care.TRAINERS)
    console.print(
        f"The two trained in turns, epoch by epoch; other processes took {others:.0f} % of the CPU meanwhile.\n"
        f"dl4fiji against csbdeep: PSNR {summary['psnr_difference']:+.2f} dB, fitted "
        f"{summary['psnr_fitted_difference']:+.2f} dB (demand ≥ -0.10), "
        f"steps per second × {summary['steps_per_second_ratio']:.2f} (demand ≥ 0.95), "
        f"CPU time per step × {summary['cpu_per_step_ratio']:.2f}, "
        f"prediction × {summary['pixels_per_second_ratio']:.2f}: "
        + ("[green]demands met[/]" if summary["passed"] else "[red]demands not met[/]")
    )


def show_noise2void(result: dict[str, Any], console: Console) -> None:
    """Print the tables of Noise2Void."""
    masks = Table(title=f"Hiding pixels, patches per second of processor time; {result['machine']['cpu']}")
    for name in ("", "n2v", "dl4fiji, masks", "dl4fiji, drawing too", "hidden per patch"):
        masks.add_column(name, justify="right" if name else "left")
    for name, row in result["masks"].items():
        masks.add_row(
            name, f"{row['n2v']:.0f}", f"{row['dl4fiji']:.0f} (× {row['ratio']:.1f})",
            f"{row['dl4fiji_draw']:.0f} (× {row['draw_ratio']:.1f})",
            f"{row['hidden_n2v']:.1f}, {row['hidden_dl4fiji']:.1f}",
        )  # fmt: skip
    console.print(masks)
    summary, inputs, seeds = result["summary"], result["input"], len(result["runs"]) // 2
    table = Table(title=f"Noise2Void 2D, 200 steps of 64 patches 64×64, mean (spread) of {seeds} seeds")
    for name in ("", "PSNR dB", "SSIM", "steps/s", "Mpx/s predicted", "s in all", "peak MiB", "others"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("input", f"{inputs['psnr']:.2f}", f"{inputs['ssim']:.3f}", *[""] * 5)
    for trainer in bench_noise2void.TRAINERS:
        row = summary[trainer]
        table.add_row(
            trainer, figure(row["psnr"], 2), figure(row["ssim"], 3), figure(row["steps_per_second"], 2),
            figure(row["pixels_per_second"], 2, 1e6), figure(row["seconds"], 0), figure(row["peak_mib"], 0),
            figure(row["others_cpu"], 0, 0.01, " %"),
        )  # fmt: skip
    console.print(table)
    console.print(
        f"dl4fiji against n2v: PSNR {summary['psnr_difference']:+.2f} dB (demand ≥ -0.10), steps per second × "
        f"{summary['steps_per_second_ratio']:.2f} (demand ≥ 0.95), prediction × "
        f"{summary['pixels_per_second_ratio']:.2f}, masks at least × {bench_noise2void.FASTER:g}: "
        + ("[green]demands met[/]" if summary["passed"] else "[red]demands not met[/]")
    )


def show_stardist(result: dict[str, Any], console: Console) -> None:
    """Print the tables of StarDist."""
    targets = Table(title=f"StarDist's targets, patches per second on all cores; {result['machine']['cpu']}")
    for name in ("", "stardist", "dl4fiji", "stardist, drawing too", "dl4fiji, drawing too"):
        targets.add_column(name, justify="right" if name else "left")
    for name, row in result["targets"].items():
        targets.add_row(
            name, f"{row['stardist']:.1f}", f"{row['dl4fiji']:.1f} (× {row['ratio']:.1f})",
            f"{row['stardist_draw']:.1f}", f"{row['dl4fiji_draw']:.1f} (× {row['draw_ratio']:.1f})",
        )  # fmt: skip
    console.print(targets)
    for name, summary in result["summary"]["sets"].items():
        budget, seeds = bench_stardist.SETS[name], len(result["runs"][name]) // 2
        patch = "×".join(map(str, budget.patch))
        table = Table(
            title=f"{name}: {budget.epochs * budget.steps} steps of {budget.batch} patches {patch}, mean (spread) of "
            f"{seeds} seeds"
        )
        for column in ("", "F1", "panoptic quality", "IoU of hits", "steps/s", "Mpx/s", "s in all", "peak MiB"):
            table.add_column(column, justify="right" if column else "left")
        for trainer in bench_stardist.TRAINERS:
            row = summary[trainer]
            table.add_row(
                trainer, figure(row["f1"], 3), figure(row["panoptic_quality"], 3),
                figure(row["mean_matched_score"], 3), figure(row["steps_per_second"], 2),
                figure(row["pixels_per_second"], 2, 1e6), figure(row["seconds"], 0), figure(row["peak_mib"], 0),
            )  # fmt: skip
        console.print(table)
        console.print(
            f"dl4fiji against stardist: F1 {summary['f1_difference']:+.3f} (demand ≥ -{bench_stardist.MARGIN:g}), "
            f"steps per second × {summary['steps_per_second_ratio']:.2f} (demand ≥ 0.95), prediction × "
            f"{summary['pixels_per_second_ratio']:.2f}: "
            + ("[green]demands met[/]" if summary["passed"] else "[red]demands not met[/]")
        )
    slowest = min(row["ratio"] for row in result["targets"].values())
    console.print(f"Targets at least × {slowest:.1f} (demand ≥ {bench_stardist.FASTER:g}).")


def figure(value: dict[str, float], digits: int, unit: float = 1.0, suffix: str = "") -> str:
    """Return ``mean (spread)``."""
    return f"{value['mean'] / unit:.{digits}f} ({value['spread'] / unit:.{digits}f}){suffix}"


BENCHMARKS: dict[str, tuple[Any, Any]] = {
    "care": (bench_care, show_care),
    "noise2void": (bench_noise2void, show_noise2void),
    "stardist": (bench_stardist, show_stardist),
}
"""What is measured, and how its table is printed."""


if __name__ == "__main__":
    sys.exit(main())
