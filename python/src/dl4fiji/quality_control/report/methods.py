"""The materials-and-methods paragraphs, ready to paste, and the summary in three sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dl4fiji.data.normalization import FixedNormalization, PercentileNormalization
from dl4fiji.quality_control.record import ImageRecord
from dl4fiji.quality_control.report.document import Paragraph, Section
from dl4fiji.quality_control.report.references import OF_METRICS, OF_OPTIMIZERS, short
from dl4fiji.quality_control.report.subject import Subject
from dl4fiji.quality_control.report.words import count, duration, joined, number, sentence, size, spread, unit
from dl4fiji.quality_control.titles import compared_kind, kind_title, metric_text
from dl4fiji.schedule import Plateau

_NOUNS = {
    "segmentation": ("image with its mask", "images with their masks"),
    "instances": ("image with labeled objects", "images with labeled objects"),
    "restoration": ("pair of images", "pairs of images"),
    "translation": ("pair of images", "pairs of images"),
}
_PLAIN = ("image", "images")
_AUGMENTED = "Vary the patches by "
_VERSIONS = {"python": "Python", "tensorflow": "TensorFlow", "tf-keras": "tf-keras", "numpy": "NumPy", "scipy": "SciPy"}
_MAIN = {"restoration": ("psnr", "ssim", "nrmse", "pearson"), "segmentation": ("iou", "dice", "precision", "recall")}


def methods(subject: Subject) -> Section:
    """Return the section to paste into a manuscript."""
    texts = [_training(subject), _judging(subject)]
    hint = "Made to be pasted into a manuscript: read it, shorten it, and add what only you know about the specimens."
    return Section(
        "Materials and methods",
        (Paragraph(hint, "small"), *(Paragraph(text, "paste") for text in texts if text)),
    )


def _training(subject: Subject) -> str:
    """Return how the network was trained."""
    parts = [
        _data(subject), _normalized(subject), _steps(subject),
        _optimization(subject), _outcome(subject), _software(subject),
    ]  # fmt: skip
    return " ".join(part for part in parts if part)


def _data(subject: Subject) -> str:
    training, network = subject.info.training, subject.network
    version = training.get("versions", {}).get("dl4fiji", "")
    cites = joined([short(citation) for citation in network.citations])
    start = f", starting from the weights of {training['start_from']}," if training.get("start_from") else ""
    text = f"{network.title} ({cites}) was trained with DL4Fiji{f' {version}' if version else ''}{start}"
    images, aside = training.get("training_images"), training.get("validation_images")
    one, several = _PLAIN if network.data_form == "single" else _NOUNS.get(network.task, _PLAIN)
    if not images:
        return sentence(text)
    described = _described(subject, [image for image in subject.record.images if image.role != "validation"])
    text += f" on {images} {one if images == 1 else several}{described}."
    return f"{text} {_split(subject, int(aside or 0))}".rstrip()


def _split(subject: Subject, aside: int) -> str:
    split = subject.info.training.get("split", {})
    if not aside:
        return ""
    if len(subject.record.images) == 1 and subject.record.images[0].role == "both":
        share = subject.info.options.get("validation_percent", "")
        told = f" (about {share} % of it)" if share else ""
        return f"A region of the same image{told} was kept aside for validation; the two regions share no pixel."
    if subject.request.get("data", {}).get("validation_source"):
        return f"{sentence(count(aside, 'further image'))[:-1]}, chosen beforehand, served for validation."
    seed = f" (seed {split['seed']})" if "seed" in split else ""
    verb = "was" if aside == 1 else "were"
    return f"{sentence(count(aside, 'further image'))[:-1]}, chosen at random{seed}, {verb} kept aside for validation."


def _described(subject: Subject, images: Sequence[ImageRecord]) -> str:
    """Return size, type and pixel size of images, as far as they are known."""
    info = subject.info
    details = []
    if images:
        axes = info.axes.removesuffix("C")
        shapes = sorted({_spatial(image, axes) for image in images})
        noun = "voxels" if len(axes) == 3 else "pixels"
        text = size(shapes[0]) + (f" to {size(shapes[-1])}" if len(shapes) > 1 else "")
        details.append(f"{text} {noun}")
        details.append(joined(sorted({_bits(image.type) for image in images})))
    if info.pixel_size:
        sizes = {f"{value:.4g}" for value in info.pixel_size.values()}
        each = ", ".join(f"{axis} {value:.4g}" for axis, value in info.pixel_size.items())
        details.append(f"pixel size {sizes.pop() if len(sizes) == 1 else each} {unit(info.pixel_unit)}".rstrip())
    return f" ({', '.join(filter(None, details))})" if details else ""


def _spatial(image: ImageRecord, axes: str) -> tuple[int, ...]:
    sizes = dict(zip(image.axes, image.shape, strict=True))
    return tuple(sizes.get(axis, 1) for axis in axes)


def _bits(name: str) -> str:
    digits = "".join(letter for letter in name if letter.isdigit())
    return f"{digits}-bit{' floating-point' if name.startswith('float') else ''}" if digits else name


def _normalized(subject: Subject) -> str:
    normalization = subject.info.normalization
    if isinstance(normalization, PercentileNormalization):
        return (
            f"Each channel of each image was normalized by its percentiles {normalization.low:g} and "
            f"{normalization.high:g}, which became 0 and 1."
        )
    if isinstance(normalization, FixedNormalization):
        mean, deviation = (", ".join(map(number, values)) for values in (normalization.mean, normalization.std))
        return f"Images were normalized by mean ({mean}) and standard deviation ({deviation}) of the training images."
    return "Each channel of each image was normalized to mean 0 and standard deviation 1."


def _steps(subject: Subject) -> str:
    training, options = subject.info.training, subject.options
    epochs = training.get("epochs") or options.epochs
    steps = training.get("steps_per_epoch")
    batch = training.get("batch_size") or options.batch_size
    noun = "voxels" if len(options.patch_size) == 3 else "pixels"
    batches = f"{count(steps, 'batch')} of " if steps else "batches of "
    text = f"Each of the {epochs} epochs comprised {batches}{count(batch, 'patch')} of "
    text += f"{size(options.patch_size)} {noun}, drawn at random"
    if not options.augmentation:
        return f"{text}, without augmentation."
    help = type(options).model_fields["augmentation"].description or ""
    how = help.removeprefix(_AUGMENTED).rstrip(".") if help.startswith(_AUGMENTED) else ""
    return f"{text} and augmented{f' by {how}' if how else ''}."


def _optimization(subject: Subject) -> str:
    training, network, options = subject.info.training, subject.network, subject.options
    text = f"{network.loss_text(options)} was minimized"
    optimizer = training.get("optimizer", "")
    if optimizer:
        known = OF_OPTIMIZERS.get(optimizer)
        text += f" by the {optimizer} optimizer{f' ({short(known)})' if known else ''}"
    schedule = network.schedule(options)
    text += f" at an initial learning rate of {number(options.learning_rate)}"
    if isinstance(schedule, Plateau) and schedule.patience:
        change = "halved" if schedule.factor == 0.5 else f"multiplied by {schedule.factor:g}"
        text += f", which was {change} after {count(schedule.patience, 'epoch')} without a lower validation loss"
    return sentence(text)


def _outcome(subject: Subject) -> str:
    training = subject.info.training
    parts = []
    if training.get("canceled"):
        parts.append("The training was stopped by hand.")
    elif training.get("stopped_early"):
        parts.append(
            f"It ended early, after {count(subject.options.patience, 'epoch')} without a lower validation loss."
        )
    if training.get("best_epoch"):
        loss = f" ({number(training['val_loss'])})" if training.get("val_loss") is not None else ""
        parts.append(
            f"The weights of epoch {training['best_epoch']}, which had the lowest validation loss{loss}, were kept."
        )
    if training.get("seconds"):
        where = f" on {training['device']}" if training.get("device") else ""
        parts.append(f"The training took {duration(training['seconds'])}{where}.")
    return " ".join(parts)


def _software(subject: Subject) -> str:
    versions = subject.info.training.get("versions", {})
    named = [f"{_VERSIONS.get(name, name)} {value}" for name, value in versions.items() if name != "dl4fiji"]
    return f"Software: {joined(named)}." if named else ""


def _judging(subject: Subject) -> str:
    """Return how the network was judged, and the outcome."""
    how = {"segmentation": _masks, "instances": _objects}.get(subject.network.task, _images)
    if not subject.metrics:
        return ""
    return how(subject)


def _which(subject: Subject) -> str:
    many = len(subject.judged)
    if subject.evaluated is not None:
        return f"{count(many, 'image')} that {'was' if many == 1 else 'were'} not used in the training"
    return f"the {count(many, 'validation image')}" if many != 1 else "the validation image"


def _images(subject: Subject) -> str:
    if not subject.judged:
        return _without_truth(subject)
    cite = short(OF_METRICS["psnr"])
    text = (
        f"The network was judged on {_which(subject)}. The truth was normalized by its percentiles 0.1 and 99.9, input "
        f"and prediction were fitted to it by least squares ({cite}). "
    )
    return text + _results(subject, _MAIN["restoration"])


def _without_truth(subject: Subject) -> str:
    told = [
        f"{metric_text(name).title} {metric_text(name).write(values['prediction'])}"
        for name, values in subject.metrics.items()
    ]
    return (
        f"No truth was at hand. At pixels of the validation images that were hidden from the network, prediction and "
        f"noisy pixel differed by {joined(told)} in normalized units."
    )


def _masks(subject: Subject) -> str:
    threshold = next(iter(subject.info.thresholds.values()), 0.5)
    text = f"Pixels were foreground from a probability of {threshold:g} on, "
    text += "the threshold with the highest mean IoU on the validation images. "
    text += f"The network was judged on {_which(subject)}. "
    return text + _results(subject, _MAIN["segmentation"])


def _objects(subject: Subject) -> str:
    thresholds = subject.info.thresholds
    text = ""
    if {"probability", "nms"} <= set(thresholds):
        text = (
            f"Objects were kept from a probability of {thresholds['probability']:g} on, and suppressed by more "
            f"probable ones at an overlap of {thresholds['nms']:g}, the thresholds with the best accuracy on the "
            "validation images. "
        )
    text += f"The network was judged on {_which(subject)}; an object was right if its IoU with a true one reached 0.5. "
    objects = dict(subject.quality.get("objects", []))
    if objects:
        text += (
            f"Of {count(int(objects['true']), 'true object')}, {objects['right']:.0f} were found; "
            f"{objects['found'] - objects['right']:.0f} of {objects['found']:.0f} found objects were wrong. "
        )
    told = [
        f"{metric_text(name).inline} {metric_text(name).write(values['prediction'])}"
        for name, values in subject.metrics.items()
    ]
    return f"{text}This gives {joined(told)}."


def _results(subject: Subject, order: Sequence[str]) -> str:
    """Return the main metrics of prediction and input in words, mean ± SD."""
    told, many = [], 0
    for name in order:
        if name not in subject.metrics:
            continue
        metric, kind = metric_text(name), compared_kind(subject.metrics[name])
        after = spread(subject.judged, "prediction", name)
        before = spread(subject.judged, kind, name) if kind else None
        if after is None:
            continue
        many = max(many, after.count)
        cite = f" ({short(OF_METRICS[name])})" if name in OF_METRICS and name != "psnr" else ""
        of_unit = f" {metric.unit}" if metric.unit else ""
        text = f"{metric.inline}{cite} was {after.text(metric)}{of_unit}"
        if before is not None:
            whose = "for the input" if kind == "input" else f"at the {kind_title(kind)}"
            text += f" ({before.text(metric)}{of_unit} {whose})"
        told.append(text)
    about = f"mean ± SD, n = {count(many, 'image')}" if many > 1 else "n = 1 image"
    return sentence(f"{joined(told)} ({about})") if told else ""


def lead(subject: Subject) -> tuple[str, ...]:
    """Return the summary in three sentences: on what, how good compared with the input, what to be wary of."""
    info, training = subject.info, subject.info.training
    images = training.get("training_images")
    trained = f", trained on {count(images, 'image')}" if images else ""
    where = f"in {subject.evaluated.source}" if subject.evaluated is not None else "that it had not seen"
    many = len(subject.judged)
    judged = f" and judged on {count(many, 'image')} {where}" if many else ""
    first = f"“{info.name}” is a {subject.network.title} network{trained}{judged}."
    points = len(subject.warnings)
    third = (
        f"A reviewer would raise {count(points, 'point')}, listed under Warnings: read them before you rely on the "
        "figures."
        if points
        else "None of the checks that this report makes found anything that a reviewer would raise."
    )
    return first, _verdict(subject), third


def _verdict(subject: Subject) -> str:
    """Return in one sentence how good the network is."""
    task, metrics = subject.network.task, subject.metrics
    if task == "instances" and "f1" in metrics:
        objects = dict(subject.quality.get("objects", []))
        told = f"F1 is {metrics['f1']['prediction']:.2f} at an IoU of 0.5, where 1 would be perfect"
        if not objects:
            return f"{told}."
        wrong = objects["found"] - objects["right"]
        return (
            f"{objects['right']:.0f} of {objects['true']:.0f} true objects were found, and {wrong:.0f} of "
            f"{objects['found']:.0f} found objects are wrong: {told}."
        )
    if task == "segmentation" and "iou" in metrics:
        plain = compared_kind(metrics["iou"])
        own = f", and by {metrics['iou'][plain]:.2f} at the {kind_title(plain)}" if plain else ""
        return (
            f"Its masks overlap the true ones by an IoU of {metrics['iou']['prediction']:.2f}{own}; 1 would be perfect."
        )
    if "psnr" in metrics:
        return _restored(metrics, subject.judged)
    if subject.info.training.get("canceled"):
        return "The training was stopped before its end, so no figures were taken."
    return (
        "How near its results are to the truth is not known, for there was no truth to compare with; what is known is "
        "how well it foretells noisy pixels that were hidden from it."
        if metrics
        else "No figures were taken, so that how good it is is not known."
    )


def _restored(metrics: dict[str, Any], images: Sequence[Any]) -> str:
    psnr, ssim = metrics["psnr"], metrics.get("ssim", {})
    if "input" not in psnr:
        return (
            f"Its predictions reach a PSNR of {psnr['prediction']:.1f} dB; the input cannot be compared with the truth."
        )
    gain = psnr["prediction"] - psnr["input"]
    how = "nearer to the truth than" if gain > 0 else "no nearer to the truth than"
    text = f"Its predictions are {how} the input: PSNR {_change(psnr, 1)} dB"
    if "input" in ssim:
        text += f", SSIM {_change(ssim, 2)}"
    known = [image for image in images if "psnr" in image.get("input", {})]
    better = sum(image["prediction"]["psnr"] > image["input"]["psnr"] for image in known)
    if len(known) > 1:
        text += f"; {better} of {len(known)} images improved"
    return f"{text}."


def _change(values: dict[str, float], decimals: int) -> str:
    before, after = (f"{values[kind]:.{decimals}f}" for kind in ("input", "prediction"))
    if before == after:
        return f"stays at {after}"
    return f"{'rises' if values['prediction'] > values['input'] else 'falls'} from {before} to {after}"
