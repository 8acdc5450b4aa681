"""How the network that tells views apart is taught, on phantoms alone.

What lives here: its teaching pictures, its training, and the temperature that makes its probabilities honest. What does
not: the network as intake uses it (`picture_net.py`), the files (`storage.shipped`).
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import LEVELS, View
from olvf_assets.intake.pixels.picture_net import CONVOLUTIONS, KINDS, LAYERS, SIDE_PX, STRIDE, answer, seen
from olvf_assets.intake.pixels.picture_views import DOUBTED, LATERAL, NOT_LATERAL, SURE_OF_PART, field_of
from olvf_assets.phantom.film import Film, render_film
from olvf_assets.phantom.other_films import OTHER_FILMS, OtherFilm, other_film
from olvf_assets.phantom.plan import FilmPlan, PatientPlan, plan_hospital
from olvf_assets.phantom.settings import LookName, PhantomSettings, SyntheticInstitution

PIXEL_MM = 0.4
KEPT_PX = 96  # side of the squeezed pictures that crops are taken from
SHOWN: tuple[View | OtherFilm, ...] = ("neutral", "flexion", "extension", "thoracic", "thoracic", *OTHER_FILMS)
CHANNELS, HIDDEN = (32, 64, 96, 128), 64
BATCH, RATE = 64, 2e-3
Job = tuple[PatientPlan, FilmPlan, SyntheticInstitution, str]


class Pictures(NamedTuple):
    """Pictures to learn from or to be asked about: uint8 (n, 96, 96), their kind's number (n,), and what they show."""

    pixels: np.ndarray
    kinds: np.ndarray
    shown: list[str]


def phantom_pictures(look: LookName, patients: int, seed: int, report: Callable[[str], None] | None = None) -> Pictures:
    """Return pictures of synthetic patients without their collimated margins, of each patient a few of all kinds."""
    site = SyntheticInstitution(patients_normal=patients, patients_fresh=0, patients_old=0, excluded_fresh={},
                                excluded_old={}, look=look, pixel_mm=PIXEL_MM, variant_share=0.1)  # fmt: skip
    settings = PhantomSettings(institutions={"pictures": site})
    jobs: list[Job] = []
    for patient in plan_hospital("pictures", settings, seed):
        rng = np.random.default_rng(derive_seed(patient.seed, "shown"))
        for shown in rng.permutation(SHOWN)[:6].tolist():
            view: View = shown if shown in ("flexion", "extension", "thoracic") else "neutral"
            levels = LEVELS if view != "thoracic" else LEVELS[:3]
            jobs.append((patient, FilmPlan(shown, view, 0, monochrome1=False, levels=tuple(levels)), site, shown))
    made = parallel_map(_picture, jobs, what=f"{look} pictures", report=report)
    shown_names = [job[3] for job in jobs]
    return Pictures(np.stack(made), np.array([KINDS.index(kind_of(each)) for each in shown_names]), shown_names)


def kind_of(shown: str) -> Literal["lumbar", "thoracic", "frontal", "other"]:
    """Return the kind of a picture that shows so."""
    if shown == "limb":
        return "other"
    if shown in OTHER_FILMS:
        return "frontal"
    return "thoracic" if shown == "thoracic" else "lumbar"


def _picture(job: Job) -> np.ndarray:
    patient, plan, site, shown = job
    film = other_film(patient, plan, site, shown) if shown in OTHER_FILMS else render_film(patient, plan, site)
    return squeezed(as_shown(film), PIXEL_MM)


def as_shown(film: Film) -> np.ndarray:
    """Return uint8 pixels of a phantom film through its own window."""
    centre, width = film.window
    grey = (film.pixels.astype(np.float32) - centre) / width + 0.5
    return (np.clip(grey, 0, 1) * 255).astype(np.uint8)


def squeezed(pixels: np.ndarray, pixel_mm: float) -> np.ndarray:
    """Return uint8 (96, 96) of a picture without its collimated margins."""
    kept: Any = cv2.resize(field_of(pixels, pixel_mm), (KEPT_PX, KEPT_PX), interpolation=cv2.INTER_AREA)
    return np.clip(np.rint(kept), 0, 255).astype(np.uint8)


def junk_pictures(count: int, seed: int) -> Pictures:
    """Return pictures of nothing: noise, shades, blots and stripes. Kind `other`."""
    rng = np.random.default_rng(derive_seed(seed, "junk"))
    down, right = np.mgrid[0:KEPT_PX, 0:KEPT_PX] / KEPT_PX
    made = []
    for number in range(count):
        angle, wave = rng.uniform(0, 2 * np.pi), rng.uniform(1, 30)
        along = down * np.cos(angle) + right * np.sin(angle)
        x, y, size = rng.uniform(0, 1, 3)
        grey = (
            rng.random(down.shape),
            along,
            np.exp(-((right - x) ** 2 + (down - y) ** 2) / (0.01 + 0.2 * size)),
            np.sin(wave * along),
            (np.abs(right - x) < size / 2) * (np.abs(down - y) < size / 2),
        )[number % 5]
        grey = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), rng.uniform(0.3, 3)) + rng.normal(0, 0.02, grey.shape)
        grey = (grey - grey.min()) / max(1e-6, np.ptp(grey))
        made.append((grey * 255).astype(np.uint8))
    return Pictures(np.stack(made), np.full(count, KINDS.index("other")), ["junk"] * count)


def together(*sets: Pictures) -> Pictures:
    """Return the pictures of several sets as one."""
    pixels, kinds, shown = zip(*sets, strict=True)
    return Pictures(np.concatenate(pixels), np.concatenate(kinds), [each for names in shown for each in names])


def learn(pictures: Pictures, epochs: int, seed: int, report: Callable[[str], None]) -> dict[str, np.ndarray]:
    """Return the weights by name of a network taught on pictures, each changed anew in every epoch.

    On one thread, so that the number of cores decides nothing.
    """
    import torch

    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(seed % 2**31)
    network, names = _untaught()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    steps = epochs * -(-len(pictures.kinds) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2 * RATE, total_steps=steps)
    kinds = torch.from_numpy(pictures.kinds)
    for epoch in range(epochs):
        rng = np.random.default_rng(derive_seed(seed, "epoch", epoch))
        changed = torch.from_numpy(np.stack([seen(varied(each, rng)) for each in pictures.pixels]))
        losses = []
        for places in torch.from_numpy(rng.permutation(len(kinds))).split(BATCH):
            loss = torch.nn.functional.cross_entropy(
                network(changed[places][:, None]), kinds[places], label_smoothing=0.01
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        report(f"views: epoch {epoch + 1}/{epochs}, loss {np.mean(losses):.3f}")
    torch.set_num_threads(threads_before)
    taught = network.state_dict()
    return {f"{name}.{part}": taught[f"{place}.{part}"].numpy() for place, name in names.items()
            for part in ("weight", "bias")}  # fmt: skip


def _untaught() -> tuple[Any, dict[int, str]]:
    """Return the network as a torch module, and the names of its places that hold weights."""
    from torch import nn

    parts: list[nn.Module] = []
    names: dict[int, str] = {}
    for number, (before, after) in enumerate(zip((1, *CHANNELS), CHANNELS, strict=False)):
        names[len(parts)] = f"convolution_{number}"
        parts += [nn.Conv2d(before, after, 3, STRIDE, 1), nn.ReLU()]
    parts += [nn.Flatten(), nn.Dropout(0.3)]
    side = SIDE_PX // STRIDE**CONVOLUTIONS
    sizes = (CHANNELS[-1] * side * side, HIDDEN, len(KINDS))
    for number in range(LAYERS):
        names[len(parts)] = f"layer_{number}"
        parts += [nn.Linear(sizes[number], sizes[number + 1]), nn.ReLU()]
    return nn.Sequential(*parts[:-1]), names


def varied(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return float32 picture, 0 to 255, turned, mirrored, cut, blurred and blotted by chance."""
    side = picture.shape[0]
    turn: Any = cv2.getRotationMatrix2D((side / 2, side / 2), rng.normal(0, 5), rng.uniform(0.95, 1.1))
    grey: Any = cv2.warpAffine(picture, turn, (side, side), borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    if rng.random() < 0.5:
        grey = grey[:, ::-1]
    top, left = (int(rng.uniform(0, 0.18) * side) for _ in range(2))
    bottom, right = (side - int(rng.uniform(0, 0.18) * side) for _ in range(2))
    grey = np.ascontiguousarray(grey[top:bottom, left:right])
    if rng.random() < 0.5:
        grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.3, 1.5))
    if rng.random() < 0.5:
        grey = grey + rng.normal(0, rng.uniform(2, 20), grey.shape)
    if rng.random() < 0.3:
        thick = int(rng.integers(1, 8))
        edge = (np.s_[:thick], np.s_[-thick:], np.s_[:, :thick], np.s_[:, -thick:])[int(rng.integers(4))]
        grey[edge] = rng.choice([0, 255])
    for _ in range(int(rng.integers(3))):
        y, x, size = int(rng.integers(grey.shape[0])), int(rng.integers(grey.shape[1])), int(rng.integers(2, 14))
        grey[y : y + size, x : x + size] = rng.uniform(0, 255)
    varied_grey: np.ndarray = np.clip(grey, 0, 255).astype(np.float32)
    return varied_grey


def logits_of(pictures: Pictures, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Return float32 (n, 4) logits of pictures as intake would see them."""
    return answer(np.stack([seen(each) for each in pictures.pixels]), weights)


def honest_temperature(logits: np.ndarray, kinds: np.ndarray) -> float:
    """Return the temperature, 0.5 to 10, at which probabilities of these pictures have the least cross-entropy."""
    tried = np.exp(np.linspace(np.log(0.5), np.log(10), 200))

    def surprise(temperature: float) -> float:
        scaled = logits / temperature
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(kinds)), kinds]))

    return round(float(min(tried, key=surprise)), 3)


def judged(pictures: Pictures, weights: dict[str, np.ndarray], temperature: float) -> dict[str, float]:
    """Return how right the network is about pictures: shares of laterals and of others taken in, refused and doubted.

    `*_said` and `*_right` are the mean probability of the likeliest kind and how often it is the kind.
    """
    scaled = logits_of(pictures, weights) / temperature
    odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    lateral, is_lateral = probabilities[:, :2].sum(axis=1), pictures.kinds < 2
    part = probabilities[:, 0] / np.maximum(lateral, 1e-9)
    sure_part = np.where(part >= SURE_OF_PART, 0, np.where(part <= 1 - SURE_OF_PART, 1, -1))
    figures = {
        "laterals": int(is_lateral.sum()),
        "others": int((~is_lateral).sum()),
        "laterals_taken_in": np.mean(lateral[is_lateral] >= LATERAL),
        "laterals_refused": np.mean(lateral[is_lateral] < NOT_LATERAL),
        "laterals_doubted": np.mean(lateral[is_lateral] < DOUBTED),
        "others_taken_in": np.mean(lateral[~is_lateral] >= LATERAL),
        "others_refused": np.mean(lateral[~is_lateral] < NOT_LATERAL),
        "part_known": np.mean(sure_part[is_lateral] >= 0),
        "part_wrong": np.mean((sure_part >= 0)[is_lateral] & (sure_part != pictures.kinds)[is_lateral]),
        "said": probabilities.max(axis=1).mean(),
        "right": np.mean(probabilities.argmax(axis=1) == pictures.kinds),
    }
    return {name: round(float(value), 4) for name, value in figures.items()}
