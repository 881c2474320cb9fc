"""How the figures of the benchmarks are printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import bench_care
import bench_noise2void
import bench_stardist
import bench_unet
from rich.console import Console
from rich.table import Table

Quality = tuple[str, str, int]
"""A figure of quality: its name, its heading and its digits."""

SPEEDS = (
    ("steps/s", "steps_per_second", 2, 1.0), ("CPU ms/step", "cpu_ms_per_step", 0, 1.0),
    ("Mpx/s", "pixels_per_second", 2, 1e6), ("s in all", "seconds", 0, 1.0), ("peak MiB", "peak_mib", 0, 1.0),
    ("others %", "others_cpu", 0, 0.01),
)  # fmt: skip
"""Heading, name, digits and unit of what is told of every trainer; others: CPU that other processes took meanwhile."""


def show_care(result: dict[str, Any], console: Console) -> None:
    """Print the table of CARE."""
    summary, seeds = result["summary"], len(result["runs"]) // 2
    quality = (("psnr", "PSNR dB", 2), ("psnr_fitted", "PSNR dB fitted", 2), ("ssim", "SSIM", 3))
    title = f"CARE 2D, 400 steps of 16 patches 64×64, mean (spread) of {seeds} seeds; {result['machine']['cpu']}"
    perfect = {name: value for name, value in result["perfect"].items() if name != "psnr_fitted"}
    references = {"input": result["input"], "perfect": perfect}
    console.print(_trainers(title, quality, summary, bench_care.TRAINERS, references))
    demands = f"PSNR {summary['psnr_difference']:+.2f} dB, fitted {summary['psnr_fitted_difference']:+.2f} dB "
    console.print(_verdict("csbdeep", f"{demands}(demand ≥ -0.10)", summary, 0.95))


def show_noise2void(result: dict[str, Any], console: Console) -> None:
    """Print the tables of Noise2Void."""
    title = f"Hiding pixels, patches per second of processor time; {result['machine']['cpu']}"
    masks = _table(title, ("n2v", "dl4fiji, masks", "dl4fiji, drawing too", "hidden per patch"))
    for name, row in result["masks"].items():
        masks.add_row(
            name, f"{row['n2v']:.0f}", _times(row["dl4fiji"], row["ratio"]),
            _times(row["dl4fiji_draw"], row["draw_ratio"]), f"{row['hidden_n2v']:.1f}, {row['hidden_dl4fiji']:.1f}",
        )  # fmt: skip
    console.print(masks, f"Demand: at least × {bench_noise2void.FASTER:g}.", sep="\n")
    quality = (("psnr", "PSNR dB", 2), ("psnr_fitted", "PSNR dB fitted", 2), ("ssim", "SSIM", 3))
    for name, summary in result["summary"]["sets"].items():
        title = _title(name, bench_noise2void.SETS[name], result)
        references = {"input": result["input"][name]}
        console.print(_trainers(title, quality, summary, bench_noise2void.TRAINERS, references))
        console.print(_verdict("n2v", f"PSNR {summary['psnr_difference']:+.2f} dB (demand ≥ -0.10)", summary, 0.95))


def show_stardist(result: dict[str, Any], console: Console) -> None:
    """Print the tables of StarDist."""
    title = f"Targets and whole batches, patches per second on the clock; {result['machine']['cpu']}"
    targets = _table(title, ("stardist", "dl4fiji", "stardist, batches", "dl4fiji, batches"))
    for name, row in result["targets"].items():
        targets.add_row(
            name, f"{row['stardist']:.1f}", _times(row["dl4fiji"], row["ratio"]), f"{row['stardist_draw']:.1f}",
            _times(row["dl4fiji_draw"], row["draw_ratio"]),
        )  # fmt: skip
    console.print(targets, f"Demand on the targets: at least × {bench_stardist.FASTER:g}.", sep="\n")
    quality = (("f1", "F1", 3), ("panoptic_quality", "panoptic quality", 3), ("mean_matched_score", "IoU of hits", 3))
    for name, summary in result["summary"]["sets"].items():
        title = _title(name, bench_stardist.SETS[name], result)
        console.print(_trainers(title, quality, summary, bench_stardist.TRAINERS))
        demand = f"F1 {summary['f1_difference']:+.3f} (demand ≥ {-bench_stardist.MARGIN:.3f})"
        console.print(_verdict("stardist", demand, summary, 0.95))


def show_unet(result: dict[str, Any], console: Console) -> None:
    """Print the tables of U-Net."""
    title = f"Input alone, patches per second on the clock; {result['machine']['cpu']}"
    rates = _table(title, ("notebook", "dl4fiji, plain", "dl4fiji, augmented"))
    for name, row in result["input"].items():
        rates.add_row(name, *(f"{row[key]:.0f}" for key in ("notebook", "dl4fiji_plain", "dl4fiji")))
    console.print(rates)
    quality = (("iou", "IoU", 3), ("iou_at_half", "IoU at 0.5", 3), ("threshold", "threshold", 2))
    for name, summary in result["summary"]["sets"].items():
        title = _title(name, bench_unet.SETS[name], result)
        console.print(_trainers(title, quality, summary, bench_unet.TRAINERS))
        demand = f"IoU {summary['iou_difference']:+.3f} (demand ≥ {-bench_unet.MARGIN:.3f})"
        text = f"{demand}, at 0.5 {summary['iou_at_half_difference']:+.3f}"
        console.print(_verdict("the notebook's way", text, summary, None))


def _table(title: str, columns: Iterable[str]) -> Table:
    table = Table(title=title)
    table.add_column("", justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _title(name: str, budget: Any, result: dict[str, Any]) -> str:
    """Return the title of a set's table, with the budget that each trainer had."""
    size, seeds = "×".join(map(str, budget.patch)), len(result["runs"][name]) // 2
    steps = f"{budget.epochs * budget.steps} steps of {budget.batch} patches {size}"
    return f"{name}: {steps}, mean (spread) of {seeds} seeds"


def _trainers(
    title: str,
    quality: Sequence[Quality],
    summary: dict[str, Any],
    trainers: Sequence[str],
    references: dict[str, dict[str, float]] | None = None,
) -> Table:
    """Return the table of two trainers, below rows of figures that need no training."""
    table = _table(title, [heading for _, heading, _ in quality] + [speed[0] for speed in SPEEDS])
    for name, row in (references or {}).items():
        values = [f"{row[key]:.{digits}f}" if key in row else "" for key, _, digits in quality]
        table.add_row(name, *values, *[""] * len(SPEEDS))
    for trainer in trainers:
        row = summary[trainer]
        values = [_figure(row[name], digits) for name, _, digits in quality]
        table.add_row(trainer, *values, *(_figure(row[name], digits, unit) for _, name, digits, unit in SPEEDS))
    return table


def _verdict(peer: str, quality: str, summary: dict[str, Any], least_speed: float | None) -> str:
    """Return in a sentence how we compare, and whether that is what is demanded."""
    demand = f" (demand ≥ {least_speed:g})" if least_speed else ""
    return (
        f"dl4fiji against {peer}, trained in turns: {quality}, steps per second × "
        f"{summary['steps_per_second_ratio']:.2f}{demand}, CPU time per step × {summary['cpu_per_step_ratio']:.2f}, "
        f"prediction × {summary['pixels_per_second_ratio']:.2f}: "
        + ("[green]demands met[/]" if summary["passed"] else "[red]demands not met[/]")
    )


def _times(value: float, ratio: float) -> str:
    return f"{value:.0f} (× {ratio:.1f})"


def _figure(value: dict[str, float], digits: int, unit: float = 1.0) -> str:
    """Return ``mean (spread)``."""
    return f"{value['mean'] / unit:.{digits}f} ({value['spread'] / unit:.{digits}f})"


def show_instances(result: dict[str, Any], console: Console) -> None:
    """Print the table of objects in a large image."""
    side, summary = result["side"], result["summary"]
    table = Table(title=f"Objects in {side} × {side} pixels, one network; {result['machine']['cpu']}")
    for name in ("", "objects", "s", "CPU s", "Mpx/s", "peak MiB beyond idle"):
        table.add_column(name, justify="right" if name else "left")
    for name, row in result["predictors"].items():
        table.add_row(
            name, str(row["objects"]), f"{row['seconds']:.0f}", f"{row['cpu_seconds']:.0f}",
            f"{side * side / row['seconds'] / 1e6:.2f}", f"{row['peak'] / 2**20:.0f}",
        )  # fmt: skip
    console.print(table)
    ours = result["predictors"]["dl4fiji"]
    console.print(
        f"Objects of a part against its whole prediction: F1 {ours['f1']:.4f} of {ours['compared']} (demand 1), peak "
        "at most 2048 MiB: " + ("[green]demands met[/]" if summary["passed"] else "[red]demands not met[/]")
    )
