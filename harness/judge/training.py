"""Trains and evaluates the shipped judges. The settings are those of the model card; a seed makes it reproducible.

``labelled`` trains a judge for any other data set, with the loop and the calibration of this file.

All networks learn from digits (MNIST's, scikit-learn's and printed ones) and from images that are none:

* the feature network learns the classes of lightly distorted digits, and equal class probabilities for images that are
  far from any digit (``outliers.FAR``), so that such images cannot raise the Inception score;
* the shape network learns the classes, and one output for shapes that are none (``shapes``, characters of ``glyphs``).
  Digits and other shapes are changed by the same ``styles``, so that style says nothing about shape;
* the style network learns to tell the data's pixels, whatever they show, from those changed by ``styles``.

The judge ``mnist-check`` has other architectures and another half of MNIST than the shape and style networks of
``mnist``: what both judges say does not hang on the weights of one.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from harness.base import files
from harness.judge import glyphs, outliers, shapes, styles
from harness.judge.catalogue import ROLES, write_sums
from harness.judge.judge import Judge
from harness.judge.loading import load
from harness.judge.networks import ImageStatistics, Size, network
from harness.judge.outliers import FAR, TRAINED, Family, Source
from harness.judge.styles import STYLES, restyled
from harness.zoo.data.base import Labelled
from harness.zoo.optimisation import descend

NAME = "mnist"
CHECK = "mnist-check"
"""The second judge, for checking the first."""
CLASSES = 10
VALIDATION = 5000
"""Digits of MNIST's training split that are held out for the temperatures and the thresholds."""
ACCEPTED = {"shape": 0.987, "style": 0.998}
"""The share of held-out digits that a threshold accepts: of digits in changed styles by their shape, of digits as they
are by their style."""
DISTORTED = 0.6
"""Share of the digits that are distorted in training; the same share of the digits that outliers are made of."""


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of the training of a shipped judge.

    Attributes:
        architecture: of the feature and the shape network: plain or residual.
        half: the half of MNIST's training split (0 or 1) that the shape and style networks see.
        feature_half: the half that the feature network sees; None: all of it.
        steps: training steps of each network.
        digits: digits in a mini-batch of each network.
        outliers: other images in a mini-batch of the feature network.
    """

    architecture: str = "plain"
    half: int = 0
    feature_half: int | None = None
    feature_steps: int = 1940
    shape_steps: int = 3000
    style_steps: int = 600
    feature_digits: int = 256
    shape_digits: int = 160
    style_digits: int = 128
    outliers: int = 160
    rate: float = 3e-3
    weight_decay: float = 1e-2

    def steps(self, role: str) -> int:
        """The training steps of a network."""
        return {"features": self.feature_steps, "shape": self.shape_steps, "style": self.style_steps}[role]


RECIPES = {NAME: TrainingSettings(), CHECK: TrainingSettings("residual", half=1, feature_half=1, feature_steps=1000)}

Report = Callable[[str], None]


def train(
    out: Path,
    name: str = NAME,
    device: str = "cpu",
    seed: int = 0,
    recipe: TrainingSettings | None = None,
    fonts: Path | None = None,
    roles: Iterable[str] = ROLES,
    report: Report = print,
) -> None:
    """Train the networks of a shipped judge and write their weights.

    Args:
        out: the folder for the weights.
        name: the judge's name; it selects the settings.
        device: where to train.
        seed: the seed of weights, batches and outliers.
        recipe: settings in place of those of this name.
        fonts: a folder with fonts, whose digits and letters are examples; None: those that come with matplotlib.
        roles: the networks to train; the list of sums is written when the folder has all of them.
        report: receives messages.

    Raises:
        HarnessError: MNIST is not on this machine.
    """
    recipe = recipe or RECIPES[name]
    said = {"seed": str(seed), "recipe": json.dumps(asdict(recipe)), "architecture": recipe.architecture}
    folder = fonts or glyphs.shipped_fonts()
    for role in roles:
        half = recipe.feature_half if role == "features" else recipe.half
        training, validation = _digits(half, folder if role == "shape" else None)
        source = Source(training.images, training.labels, generator(role, seed), DISTORTED)
        batches = _BATCHES[role](source, recipe, folder, seed)
        made = trained(role, recipe.architecture, CLASSES, Size(), device, seed, batches, recipe, report, training)
        write(out, name, {role: weights_of(made, role, validation, said)})
        report(f"the {role} network is written to {out}")


def generator(role: str, seed: int) -> torch.Generator:
    """The random generator of a network's images: no two networks see the same images."""
    return torch.Generator().manual_seed(_seed(role, seed))


def _seed(role: str, seed: int) -> int:
    """The seed of a network. Not ``seeds.derived``: the shipped judge was trained with these seeds."""
    return seed + 1000 * ROLES.index(role)


class Rates(Protocol):
    """The settings that the loop needs."""

    @property
    def rate(self) -> float:
        """The largest learning rate of the one-cycle schedule."""
        ...

    @property
    def weight_decay(self) -> float:
        """AdamW's weight decay."""
        ...

    def steps(self, role: str) -> int:
        """The training steps of a network."""
        ...


def trained(
    role: str,
    architecture: str,
    classes: int,
    size: Size,
    device: str,
    seed: int,
    batches: Iterator[tuple[Tensor, Tensor]],
    settings: Rates,
    report: Report,
    training: Labelled,
) -> nn.Module:
    """Train one network of a judge (see ``fit``), and set the scale of its image statistics by the training data."""
    torch.manual_seed(_seed(role, seed))
    made = network(role, architecture, classes, size).to(device)
    fit(made, role, batches, settings.steps(role), settings, functools.partial(tell, report, role))
    if isinstance(statistics := getattr(made, "statistics", None), ImageStatistics):
        statistics.fit(training.images[:20_000].to(device).float() / 255)
    return made


Weights = tuple[dict[str, Tensor], dict[str, str]]
"""The tensors of a network, and the header of its file."""


def weights_of(made: nn.Module, role: str, validation: Labelled, said: Mapping[str, str]) -> Weights:
    """What is written for a trained network: its tensors; ``said`` (how it was trained) and its calibration."""
    tensors = {key: tensor.cpu().contiguous() for key, tensor in made.state_dict().items()}
    return tensors, {**said, "role": role} | calibrate(made, role, validation)


def write(
    folder: Path, name: str, weights: Mapping[str, Weights], further: Mapping[str, str] | None = None
) -> dict[str, Path]:
    """Write networks of a judge, and the SHA-256 sums of all that are there; returns the file of each."""
    paths = {role: folder / f"{name}-{role}.safetensors" for role in weights}
    for role, (tensors, said) in weights.items():
        files.write_bytes(paths[role], save(tensors, metadata={**said, **(further or {})}))
    write_sums(folder, name)
    return paths


def fit(
    made: nn.Module,
    role: str,
    batches: Iterator[tuple[Tensor, Tensor]],
    steps: int,
    rates: Rates,
    report: Report,
) -> None:
    """Train a network for this number of steps.

    A batch has images as floats in [0, 1], those with a class first and then the outliers, and the labels of the first.
    """
    device = next(made.parameters()).device
    optimiser = torch.optim.AdamW(made.parameters(), lr=rates.rate, weight_decay=rates.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates.rate, total_steps=steps)
    made.train()
    for step, (images, labels) in enumerate(itertools.islice(batches, steps)):
        with torch.autocast(device.type, torch.bfloat16):
            output = made(images.to(device).contiguous(memory_format=torch.channels_last))
        loss = _loss(role, output, labels.to(device))
        descend(optimiser, loss)
        schedule.step()
        if step % 200 == 0:
            report(f"step {step} of {steps}, loss {float(loss.detach()):.4f}")
    made.eval()


def tell(report: Report, role: str, text: str) -> None:
    """Report a message about one network."""
    report(f"{role}: {text}")


def _loss(role: str, output: Any, labels: Tensor) -> Tensor:
    """Cross-entropy: to the labels; for the other images to "none" (shape), to equal probabilities (features), or of
    the data's style against other styles (style)."""
    n = len(labels)
    if role == "style":
        right = (torch.arange(len(output), device=output.device) < n).float()
        return F.binary_cross_entropy_with_logits(output[:, 0].float(), right)
    if role == "shape":
        none = torch.full((len(output) - n,), output.shape[1] - 1, device=output.device)
        return F.cross_entropy(output.float(), torch.cat([labels, none]))
    logits: Tensor = output[1].float()
    uniform = -logits[n:].log_softmax(1).mean()
    return F.cross_entropy(logits[:n], labels) + 0.3 * uniform


Batches = Iterator[tuple[Tensor, Tensor]]
"""Images, those of the data first, and the labels of these."""


def _feature_batches(source: Source, recipe: TrainingSettings, fonts: Path, seed: int) -> Batches:
    shown = [TRAINED[name] for name in FAR]
    early = early_images("dcgan", (20, 40, 80), 1500, seed)
    share = recipe.outliers // (len(shown) + 1)
    while True:
        digits, labels = source.digits(recipe.feature_digits)
        images = [digits, *(family(source, share) for family in shown), _some(early, share, source)]
        yield whole_greys(torch.cat(images)), labels


def _shape_batches(source: Source, recipe: TrainingSettings, fonts: Path, seed: int) -> Batches:
    early = early_images("dcgan", (20, 40, 80, 120), 600, seed + recipe.half)
    characters = {name: glyphs.drawn(text, glyphs.fonts(fonts, kept_back=False))[0] for name, text in LETTERS.items()}
    families = [*shapes.NEAR.values(), *((shapes.printed(found), LETTER_SHARE) for found in characters.values())]
    while True:
        digits, labels = source.digits(recipe.shape_digits)
        others = [family(source, n) for family, n in families] + [_some(early, 8, source)]
        yield whole_greys(restyled(source, torch.cat([digits, *others]).clamp(0, 1))), labels


LETTERS = {
    "letters": glyphs.CAPITALS + glyphs.SMALL,
    "Greek and Cyrillic": glyphs.GREEK + glyphs.CYRILLIC,
    "katakana": glyphs.KATAKANA,
}
"""The characters that the shape network learns to refuse."""
LETTER_SHARE = 14
"""Characters of each kind in a mini-batch of the shape network."""


def _style_batches(source: Source, recipe: TrainingSettings, fonts: Path, seed: int) -> Batches:
    yield from style_batches(source, recipe.style_digits)


def style_batches(source: Source, n: int) -> Batches:
    """n images of the data, turned at random, then as many in other styles, and noise.

    All are given a little noise, of up to 3 of 255, so that differences that nobody sees are none.
    """
    plain = Source(source.images, source.labels, source.rng)
    square = source.shape[1] == source.shape[2]
    while True:
        both, labels = plain.digits(2 * n)
        if square:
            both = both.rot90(source.integer(0, 4), (2, 3))
        noise = [outliers.uniform_noise(source, n // 8), outliers.gaussian_noise(source, n // 8)]
        images = torch.cat([both[:n], styled(source, both[n:]), *noise, outliers.clouds(source, n // 8)])
        yield whole_greys(images + 3 / 255 * (2 * source.uniform(*images.shape) - 1)), labels[:n]


def styled(source: Source, images: Tensor) -> Tensor:
    """Images in another style: each is changed by one of those that change pixels, by at least 0.2 of its strength."""
    changed = [style for name, style in STYLES.items() if name != "shift"]
    parts = images.tensor_split(len(changed))
    return torch.cat(
        [style(source, part, 0.2 + 0.8 * float(source.uniform(1))) for style, part in zip(changed, parts, strict=True)]
    )


_BATCHES = {"features": _feature_batches, "shape": _shape_batches, "style": _style_batches}


def _some(images: Tensor, n: int, source: Source) -> Tensor:
    return images[torch.randint(len(images), (n,), generator=source.rng)]


def whole_greys(images: Tensor) -> Tensor:
    """Images in [0, 1], rounded to multiples of 1/255, because a judge sees only such images."""
    return (images.clamp(0, 1) * 255).round() / 255


def early_images(model: str, steps: tuple[int, ...], each: int, seed: int) -> Tensor:
    """Samples of a generator after its first few steps on MNIST, floats in [0, 1]."""
    from harness.zoo.building import build
    from harness.zoo.data.pixels import from_uint8, to_uint8

    training = _load("mnist", "train")
    game = build(model, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    images = []
    for step in range(1, max(steps) + 1):
        chosen = torch.randint(len(training.labels), (64,), generator=rng)
        game.step(Labelled(from_uint8(training.images[chosen]), training.labels[chosen]))
        if step in steps:
            images.append(to_uint8(game.sample(each, rng)).float() / 255)
    return torch.cat(images)


def calibrate(made: nn.Module, role: str, validation: Labelled) -> dict[str, str]:
    """The temperature with the largest likelihood, and the threshold that accepts the share ``ACCEPTED``."""
    images = validation.images.float() / 255
    if role == "style":
        return {"threshold": f"{_threshold(_outputs(made, images)[:, 0], role):.6f}"}
    outputs = _outputs(made, images)
    candidates = torch.linspace(0.5, 3, 251)
    losses = torch.stack([F.cross_entropy(outputs / t, validation.labels) for t in candidates])
    temperature = float(candidates[losses.argmin()])
    calibrated = {"temperature": f"{temperature:.4f}"}
    if role == "shape":
        source = Source(validation.images, validation.labels, torch.Generator().manual_seed(0))
        outputs = _outputs(made, whole_greys(restyled(source, images)))
        scores = (outputs / temperature).softmax(1)[:, :-1].amax(1)
        calibrated["threshold"] = f"{_threshold(scores, role):.6f}"
    return calibrated


def _outputs(made: nn.Module, images: Tensor) -> Tensor:
    """The logits of a network for images in [0, 1]."""
    device = next(made.parameters()).device
    with torch.no_grad():
        found = [made(batch.to(device)) for batch in torch.split(images, 1000)]
    return torch.cat([output[1] if isinstance(output, tuple) else output for output in found]).cpu()


def _threshold(scores: Tensor, role: str) -> float:
    return float(scores.quantile(1 - ACCEPTED[role]))


def _digits(half: int | None, fonts: Path | None) -> tuple[Labelled, Labelled]:
    """Training digits and held-out digits.

    Scikit-learn's digits are repeated, to give them weight beside MNIST's; of MNIST and of these only a half, or all
    (None); with printed digits if there is a folder of fonts.
    """
    mnist, small = (_load(name, "train") for name in ("mnist", "digits"))
    order = torch.randperm(len(mnist.labels), generator=torch.Generator().manual_seed(0))
    kept, used = order[:VALIDATION], order[VALIDATION:]
    few = torch.arange(len(small.labels))
    if half is not None:
        used, few = used.chunk(2)[half], few[half::2]
    parts = [mnist.images[used], small.images[few].repeat(6, 1, 1, 1)]
    labels = [mnist.labels[used], small.labels[few].repeat(6)]
    if fonts is not None:
        printed, shown = glyphs.drawn(glyphs.DIGITS, glyphs.fonts(fonts, kept_back=False))
        parts, labels = [*parts, printed], [*labels, shown]
    return Labelled(torch.cat(parts), torch.cat(labels)), Labelled(mnist.images[kept], mnist.labels[kept])


def _load(name: str, split: Any) -> Labelled:
    from harness.zoo import registry

    choice = registry.choose("data", name)
    data: Labelled = choice.make().load(split)
    return data


Row = tuple[str, float, str]
"""What was measured, its value, and the target, or an empty text."""


def evaluate(device: str = "cpu", name: str = NAME, fonts: Path | None = None) -> list[Row]:
    """Evaluate a shipped judge on data that it was not trained on.

    Args:
        device: where to compute.
        name: the judge's name.
        fonts: a folder of fonts: characters of those that were kept back are judged, too.
    """
    judge = load(name, device)
    test = _load("mnist", "test")
    source = Source(test.images, test.labels, torch.Generator().manual_seed(1))
    rows = [row for data in ("mnist", "digits") for row in _on_real(judge, data)]
    rows += _on_styles(judge, source, fonts)
    refused = {family: many(made, source, 2000) for family, made in _kept_back().items()}
    refused |= _characters(glyphs.KINDS, fonts)
    rates = {family: accepted(judge, images) for family, images in refused.items()}
    rows += [(f"accepted, never shown: {family}", rate, "at most 10 %") for family, rate in rates.items()]
    rows.append(("accepted, never shown: mean over families", sum(rates.values()) / len(rates), "at most 5 %"))
    for family, images in _characters({"ambiguous characters": glyphs.AMBIGUOUS}, fonts).items():
        rows.append((f"accepted, {family}", accepted(judge, images), ""))
    for family, (made, _) in shapes.NEAR.items():
        rows.append((f"accepted, shown in training: {family}", accepted(judge, many(made, source, 2000)), ""))
    return rows


def _on_real(judge: Judge, data: str) -> list[Row]:
    """Accuracy and acceptance on the test split of a data set."""
    images, labels = _load(data, "test")
    target = "at least 99.3 %" if data == "mnist" else "at least 98 %"
    rows = []
    for role, output in (("features", judge.features(images)[1]), ("shape", judge.assess(images)[0])):
        accuracy = float((output.argmax(1).cpu() == labels).float().mean())
        rows.append((f"accuracy of the {role} network, {data} test", accuracy, target))
    rows.append((f"accepted, {data} test", accepted(judge, images / 255), "at least 97 %"))
    return [*rows, (f"style accepted, {data} test", style_accepted(judge, images / 255), "at least 98 %")]


def _on_styles(judge: Judge, source: Source, fonts: Path | None) -> list[Row]:
    """Acceptance of real digits in other styles, by their shape and by their style."""
    digits = source.digits(2000)[0]
    in_styles = {name: made(source, digits) for name, made in MEASURED_STYLES.items()}
    in_styles |= _characters({"printed digits": glyphs.DIGITS}, fonts)
    rows = [
        (f"accepted, digits: {name}", accepted(judge, images), "at least 95 %") for name, images in in_styles.items()
    ]
    return rows + [(f"style accepted: {name}", style_accepted(judge, images), "") for name, images in in_styles.items()]


MEASURED_STYLES: Mapping[str, Callable[[Source, Tensor], Tensor]] = {
    "noise of 10 of 255": lambda source, images: styles.noise(source, images, 10 / 25),
    "background of 13 of 255": lambda source, images: styles.background(source, images, 13 / 45),
    "ripple of 8 of 255": lambda source, images: styles.ripple(source, images, 8 / 18),
    "JPEG of quality 30": lambda source, images: styles.jpeg(source, images, 65 / 75),
    "black and white": lambda source, images: (images > 0.5).float(),
    "half the contrast": lambda source, images: styles.contrast(source, images, 0.5 / 0.6),
    "blur of 1.5 pixels": lambda source, images: styles.smoothed(images, 1.5),
    "shifted by 6 pixels": lambda source, images: _shifted(images, 6),
    "thicker by a pixel": lambda source, images: F.max_pool2d(F.pad(images, (1, 0, 1, 0)), 2, 1),
}
"""Styles at which a person and other classifiers still read at least 98 % of the digits."""


def _shifted(images: Tensor, pixels: int) -> Tensor:
    """A quarter of the images moved up, down, left and right; what leaves the image is lost."""
    height, width = images.shape[2:]
    wide = F.pad(images, (pixels,) * 4)
    places = ((0, pixels), (2 * pixels, pixels), (pixels, 0), (pixels, 2 * pixels))
    parts = images.tensor_split(4)
    starts = [0, *torch.tensor([len(part) for part in parts]).cumsum(0).tolist()]
    return torch.cat(
        [
            wide[start : start + len(part), :, top : top + height, left : left + width]
            for part, start, (top, left) in zip(parts, starts, places, strict=False)
        ]
    )


def _kept_back() -> Mapping[str, Family]:
    """The families of shapes that no network saw in training; digits in another style are not among them."""
    digits = ("inverted", "salted")
    return {**{name: made for name, made in outliers.HELD_OUT.items() if name not in digits}, **shapes.KEPT_BACK}


def _characters(kinds: Mapping[str, str], fonts: Path | None) -> dict[str, Tensor]:
    """Characters of the fonts that were kept back, by kind, as floats; hiragana is in no font's training."""
    if fonts is None:
        return {}
    found = {kind: glyphs.drawn(text, glyphs.fonts(fonts, kept_back=True))[0] for kind, text in kinds.items()}
    return {kind: images.float() / 255 for kind, images in found.items() if len(images)}


def many(family: Family, source: Source, n: int) -> Tensor:
    """n images of a family, a hundred at a time: some families choose one cut or one order per call."""
    return torch.cat([family(source, 100) for _ in range(n // 100)])


def accepted(judge: Any, images: Tensor) -> float:
    """The share of images (floats) whose score reaches the judge's threshold."""
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
    return float((judge.assess(pixels)[1] >= judge.threshold).float().mean())


def style_accepted(judge: Any, images: Tensor) -> float:
    """The share of images (floats) whose pixels are like the data's, by the judge's threshold."""
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
    return float((judge.style(pixels) >= judge.style_threshold).float().mean())
