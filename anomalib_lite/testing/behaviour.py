"""Checks of the torch module: what it takes, what it returns, what it learns."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.nn.functional import avg_pool2d

from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import AnomalibLiteError, ConfigError
from anomalib_lite.metrics import auroc
from anomalib_lite.testing.images import defective, featureless, good
from anomalib_lite.testing.subject import SPEC, Subject, watched, watching_statistics

IMAGES = 12  # of each sort, where good and defective ones are compared
FOUND = 0.9  # least image AUROC on planted defects
PLACED = 9  # least number of images whose map shows where the defect is; a mirrored map does in 3
OF_THE_PLACE = 0.03  # largest spread of the map of a featureless image, share of what a planted defect adds
_NUMBERS = range(1000, 1000 + IMAGES)  # of the images that are compared
UNUSUAL = (ImageSpec(16, 16, 1, "uint8", 255.0), ImageSpec(67, 45, 3, "uint8", 255.0))


def check_building_touches_no_data(subject: Subject) -> None:
    """`__init__` builds layers: it opens no file and no connection. Weights come with `fit`, or from a bundle."""
    subject.build(SPEC)  # imports what it needs
    with watched() as seen:
        subject.build(SPEC)
    assert not seen, f"building the detector touches the outside: {seen[0]}. Do it in fit"


def check_maps_and_scores_have_their_shapes(subject: Subject) -> None:
    """A map is (B, 1, h, w) and a score (B,), float32, for one image and for three, of any depth and shape."""
    grey16 = ImageSpec(SPEC.width, SPEC.height, 1, "uint16", 4095.0)
    for spec in (SPEC, grey16):
        detector = subject.fitted.detector if spec is SPEC else subject.fit(spec).detector
        for number in (1, 3):
            anomaly_map, *score = subject.detect(detector, [good(spec, k) for k in range(number)], spec)
            shape = tuple(anomaly_map.shape)
            assert anomaly_map.dtype == torch.float32, f"the anomaly map is {anomaly_map.dtype}, expected float32"
            assert len(shape) == 4 and shape[:2] == (number, 1), (  # noqa: PT018
                f"the anomaly map of {number} images of {spec.height} x {spec.width} x {spec.channels} has the shape "
                f"{shape}, expected ({number}, 1, h, w)"
            )
            assert shape[2] <= spec.height, f"the anomaly map has {shape[2]} rows, the image {spec.height}"
            assert shape[3] <= spec.width, f"the anomaly map has {shape[3]} columns, the image {spec.width}"
            for one in score:
                assert tuple(one.shape) == (number,), (
                    f"the score has the shape {tuple(one.shape)}, expected ({number},)"
                )


def check_unusual_sizes_work_or_are_refused(subject: Subject) -> None:
    """Images that are small, or no multiple of a stride, work, or the error says which size to use."""
    for spec in UNUSUAL:
        what = f"images of {spec.height} x {spec.width} x {spec.channels}"
        try:
            inspector = subject.fit(spec)
            inspector(**subject.feed([good(spec, 0)], spec))
        except ConfigError as error:
            if not re.search(r"\d", str(error)):
                raise AssertionError(f"{what} are refused without a size that works: {error}") from error
        except Exception as error:
            raise AssertionError(
                f"{what} end in {type(error).__name__}: {error}. Pad them, or raise ConfigError with a size that works"
            ) from error


def check_a_wrong_shape_is_an_error(subject: Subject) -> None:
    """An image of another size or other channels than the detector was built for is never measured."""
    batch = len(subject.info.inputs)
    for shape in ((1, SPEC.channels, SPEC.height // 2, SPEC.width), (1, 1, SPEC.height, SPEC.width)):
        try:
            subject.fitted.detector(*[torch.zeros(shape)] * batch)
        except AnomalibLiteError:
            continue
        raise AssertionError(f"images of shape {shape} are accepted by a detector built for {SPEC}")


def check_results_are_finite(subject: Subject) -> None:
    """No image makes NaN or infinity: black, white, plain grey, noise. An image that does is an ERROR on the line."""
    random = np.random.default_rng(0)
    shape = (SPEC.height, SPEC.width, SPEC.channels)
    images = {
        "black": np.zeros(shape, np.uint8),
        "white": np.full(shape, 255, np.uint8),
        "plain grey": np.full(shape, 128, np.uint8),
        "noise": random.integers(0, 256, shape, dtype=np.uint8),
        "good": good(SPEC, 0),
    }
    for name, image in images.items():
        for result in subject.predict([image]):
            assert torch.isfinite(result).all(), f"the result of a {name} image is not finite: guard the division"


def check_an_image_does_not_depend_on_its_batch(subject: Subject) -> None:
    """A batch of three gives what three batches of one give."""
    images = [good(SPEC, 0), defective(SPEC, 1), defective(SPEC, 2)]
    together = subject.predict(images)
    for number, image in enumerate(images):
        for joint, alone in zip(together, subject.predict([image]), strict=True):
            assert _near(joint[number], alone[0]), "an image gets another result in a batch than alone"


def check_predicting_changes_no_state(subject: Subject) -> None:
    """`forward` leaves every parameter and buffer as it is: what was calibrated is what is shipped."""
    before = {name: tensor.clone() for name, tensor in subject.fitted.state_dict().items()}
    subject.predict([defective(SPEC, 0)])
    changed = [name for name, tensor in subject.fitted.state_dict().items() if not torch.equal(tensor, before[name])]
    assert not changed, f"predicting changes {', '.join(changed)}"


def check_predictions_repeat(subject: Subject) -> None:
    """The same image gives the same result, bit for bit: `forward` draws nothing at random."""
    first, second = (subject.predict([defective(SPEC, 0)]) for _ in range(2))
    same = all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert same, "the same image gets two results: forward is random, or remembers"


def check_the_seed_decides_the_fit(subject: Subject) -> None:
    """Two fits with one seed learn the same, bit for bit."""
    one, other = (subject.fit(SPEC, seed=3).state_dict() for _ in range(2))
    differing = [name for name, tensor in one.items() if not torch.equal(tensor, other[name])]
    assert not differing, (
        f"two fits with one seed differ in {', '.join(differing)}: draw from torch's generator, or from run.seed"
    )


def check_everything_learnt_is_in_the_state(subject: Subject) -> None:
    """Weights saved as safetensors and loaded into a new detector predict the same."""
    state = load(save({name: tensor.contiguous() for name, tensor in subject.fitted.state_dict().items()}))
    fresh = subject.build(SPEC)
    missing, strange = (sorted(one) for one in (fresh.state_dict().keys() - state, state.keys() - fresh.state_dict()))
    assert not missing, f"a new detector has {missing}, which the saved weights lack"
    assert not strange, f"the saved weights have {strange}, which a new detector lacks"
    fresh.load(state)
    image = [defective(SPEC, 0)]
    pairs = zip(subject.predict(image), subject.predict(image, fresh), strict=True)
    assert all(_near(one, other) for one, other in pairs), (
        "a detector with the saved weights predicts otherwise: something learnt is no parameter and no buffer"
    )


def check_what_is_frozen_stays_so(subject: Subject) -> None:
    """What has no trainable parameter is not changed by being run: statistics of a frozen backbone stay its own."""
    with watching_statistics() as changed:
        subject.fit(SPEC)
    assert not changed, (
        f"running the detector in fit changes the statistics of {changed[0]}, which does not learn: keep it in eval() "
        "(fit begins so), and leave training modes to run.minimise"
    )


def check_a_planted_defect_scores_higher(subject: Subject) -> None:
    """Good images score lower than the same with a coarse spot, and mostly the map rises where the spot is."""
    goods, defects = _scores(subject)
    value = auroc(goods.tolist(), defects.tolist())
    assert value is not None
    assert value >= FOUND, (
        f"image AUROC {value:.2f} on planted defects after {subject.steps} steps, expected {FOUND} at least. "
        "Is higher more anomalous? Does it need more steps, or other options for images of 96 x 128?"
    )
    found = sum(_rises_at_the_spot(subject, number) for number in _NUMBERS)
    assert found >= PLACED, (
        f"the map rises more at the planted defect than elsewhere in {found} of {IMAGES} images, expected {PLACED} at "
        "least. Are rows and columns as in the image, and is higher more anomalous in the map, too?"
    )


def check_scores_do_not_saturate(subject: Subject) -> None:
    """Different images score differently: a score with an upper limit ties there, and hides defects behind it."""
    for name, scores in zip(("good", "defective"), _scores(subject), strict=True):
        distinct = len(set(scores.tolist()))
        assert distinct > IMAGES // 2, (
            f"{IMAGES} {name} images have {distinct} different scores: do not squash the map, a logit is better"
        )


def check_a_map_of_the_place_is_declared(subject: Subject) -> None:
    """A detector whose map depends on the place says so, in its description or its options: tiles are refused then."""
    if subject.info.positional or subject.compares:
        return
    goods, defects = (
        subject.predict([make(SPEC, 500 + number) for number in range(IMAGES)])[1] for make in (good, defective)
    )
    rise = float(defects.amax((1, 2, 3)).median() - goods.amax((1, 2, 3)).median())
    one, other = (_inner_map(subject, seeds) for seeds in (range(IMAGES), range(IMAGES, 2 * IMAGES)))
    shared = float((one * other).mean())  # what two sets of images have in common can only be the place
    alike = shared / max(float(one.std() * other.std()), 1e-12)
    assert shared <= (OF_THE_PLACE * rise) ** 2 or alike <= 0.5, (
        "images without any feature get a map with features: it depends on the place. "
        "Declare DetectorInfo(positional=True), or have the options say so where only some make it so "
        "(DetectorConfig.describe), or learn what does not depend on it"
    )


def check_few_images_suffice_or_are_refused(subject: Subject) -> None:
    """Two training images work, with a warning or without, or the error says how many are needed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            inspector = subject.fit(SPEC, images=2)
        for result in subject.predict([good(SPEC, 0)], inspector):
            assert torch.isfinite(result).all(), "fitted on two images, the detector gives results that are not finite"
    except AnomalibLiteError as error:
        if not re.search(r"\d", str(error)):
            raise AssertionError(f"two images are refused without a number that works: {error}") from error


def check_masked_images_are_accepted(subject: Subject) -> None:
    """`fit` takes batches with `valid`: padding and a region of interest leave part of an image out."""
    valid = np.ones((SPEC.height, SPEC.width), bool)
    valid[:, : SPEC.width // 4] = False
    inspector = subject.fit(SPEC, valid=valid)
    mask = torch.from_numpy(valid[None, :, :, None].astype(np.uint8))
    with torch.no_grad():
        score, _ = inspector(**subject.feed([good(SPEC, 0)]), valid=mask)
    assert torch.isfinite(score).all(), "fitted on masked images, the detector gives a score that is not finite"


def _scores(subject: Subject) -> tuple[Tensor, Tensor]:
    """Scores of good images and of the same with a defect."""
    return tuple(subject.predict([make(SPEC, n) for n in _NUMBERS])[0] for make in (good, defective))  # type: ignore[return-value]


def _rises_at_the_spot(subject: Subject, number: int) -> bool:
    """Whether a planted defect raises the map where it lies by more than elsewhere, on average."""
    images = defective(SPEC, number), good(SPEC, number)
    spot = torch.from_numpy((images[0] != images[1]).any(2))
    after, before = subject.predict(images)[1][:, 0]
    rise = after - before
    return bool(rise[spot].mean() > rise[~spot].mean())


def _inner_map(subject: Subject, seeds: Iterable[int]) -> Tensor:
    """The mean map of featureless images, in blocks of 8 x 8 pixels away from the borders, less its mean."""
    mean = subject.predict([featureless(SPEC, seed) for seed in seeds])[1].mean(0, keepdim=True)
    inside = mean[..., SPEC.height // 4 : -SPEC.height // 4, SPEC.width // 4 : -SPEC.width // 4]
    blocks = avg_pool2d(inside, 8).flatten()
    return blocks - blocks.mean()


def _near(one: Tensor, other: Tensor) -> bool:
    scale = max(float(one.abs().max()), 1e-6)
    return float((one - other).abs().max()) <= 1e-4 * scale
