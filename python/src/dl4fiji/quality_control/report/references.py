"""What to cite, and how a citation is written within a text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from dl4fiji.network import Citation, Network
from dl4fiji.networks.care import CARE_CITATION

WANG = Citation(
    "Wang Z, Bovik AC, Sheikh HR, Simoncelli EP. Image quality assessment: from error visibility to structural "
    "similarity. IEEE Transactions on Image Processing 13, 600-612 (2004).",
    "10.1109/TIP.2003.819861",
)
KIRILLOV = Citation(
    "Kirillov A, He K, Girshick R, Rother C, Dollár P. Panoptic Segmentation. IEEE/CVF Conference on Computer Vision "
    "and Pattern Recognition, 9396-9405 (2019).",
    "10.1109/CVPR.2019.00963",
)
CAICEDO = Citation(
    "Caicedo JC, Roth J, Goodman A, et al. Evaluation of Deep Learning Strategies for Nucleus Segmentation in "
    "Fluorescence Images. Cytometry Part A 95, 952-965 (2019).",
    "10.1002/cyto.a.23863",
)
DICE = Citation(
    "Dice LR. Measures of the Amount of Ecologic Association Between Species. Ecology 26, 297-302 (1945).",
    "10.2307/1932409",
)
ZEROCOST = Citation(
    "von Chamier L, Laine RF, Jukkala J, et al. Democratising deep learning for microscopy with ZeroCostDL4Mic. "
    "Nature Communications 12, 2276 (2021).",
    "10.1038/s41467-021-22518-0",
)
DEEPIMAGEJ = Citation(
    "Gómez-de-Mariscal E, García-López-de-Haro C, Ouyang W, et al. DeepImageJ: A user-friendly environment to run "
    "deep learning models in ImageJ. Nature Methods 18, 1192-1195 (2021).",
    "10.1038/s41592-021-01262-9",
)
KINGMA = Citation(
    "Kingma DP, Ba J. Adam: A Method for Stochastic Optimization. International Conference on Learning "
    "Representations (2015). arXiv:1412.6980.",
    "10.48550/arXiv.1412.6980",
)

OF_METRICS = {
    "psnr": CARE_CITATION, "ssim": WANG, "nrmse": CARE_CITATION, "dice": DICE, "f1": CAICEDO,
    "panoptic_quality": KIRILLOV,
}  # fmt: skip
"""By the name of a metric: where it, or how images are normalized for it, is defined."""

OF_OPTIMIZERS = {"Adam": KINGMA}
"""By the name of an optimiser."""


def short(citation: Citation) -> str:
    """Return a citation as it stands within a text: ``Weigert et al. 2018``, ``Kingma and Ba 2015``."""
    authors, years = citation.text.partition(". ")[0], re.findall(r"\b(?:19|20)\d\d\b", citation.text)
    names = [" ".join(name.split()[:-1]) or name for name in authors.split(", ")]
    who = names[0] if len(names) == 1 else f"{names[0]} and {names[1]}" if len(names) == 2 else f"{names[0]} et al."
    return f"{who} {years[-1]}" if years else who


def to_cite(network: Network, metrics: Iterable[str], optimizer: str, exported: bool) -> list[Citation]:
    """Return all that a publication should cite, each once: network, metrics, optimiser, tools."""
    wanted: Sequence[Citation | None] = [
        *network.citations,
        *(OF_METRICS.get(name) for name in metrics),
        OF_OPTIMIZERS.get(optimizer),
        DEEPIMAGEJ if exported else None,
        ZEROCOST,
    ]
    return list({citation.doi or citation.text: citation for citation in wanted if citation is not None}.values())
