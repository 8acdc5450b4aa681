"""What a study may vary about the detector.

What lives here: strengths of the Table 3 augmentation, the detector and its training, the metric's external sample.
What does not: table schemas (`tables.py`), anything computed.
"""

from typing import Literal

from pydantic import Field, model_validator

from olvf_assets.foundation.settings import Settings

SHIPPED = "shipped"
DetectorModel = Literal["yolov5n", "yolov5s", "yolov5m", "yolov5l", "yolov5x"]
Range = tuple[float, float]


class AugmentationRanges(Settings):
    """Bounds of the uniform draws of the six operators (thesis, Table 3). All six are applied to every copy."""

    dropout: Range = (0.0, 0.1)  # share of pixels set to 0
    blur_sigma_px: Range = (0.0, 0.5)
    sharpness: Range = (0.0, 2.5)  # 1 leaves the picture as it is, less blurs
    gamma: Range = (0.5, 2.0)
    noise: Range = (0.0, 0.05)  # standard deviation as a share of 255
    edge_alpha: Range = (0.05, 0.3)  # weight of the edge picture


class GeometrySettings(Settings):
    """Changes of geometry that the trainer draws anew in every epoch (ultralytics' names and meanings)."""

    scale: Range = (0.5, 1.5)  # bounds of the zoom factor
    translate: float = Field(default=0.1, ge=0, le=1)  # share of the picture's side
    degrees: float = Field(default=0.0, ge=0, le=180)
    fliplr: float = Field(default=0.5, ge=0, le=1)  # films face either way; there is no upside-down spine
    mosaic: float = Field(default=1.0, ge=0, le=1)
    close_mosaic: int = Field(default=10, ge=0)  # last epochs without mosaic


class EvolutionSettings(Settings):
    """Evolution of the hyper-parameters; none unless a profile asks for generations. Defaults are YOLOv5's."""

    generations: int = Field(default=0, ge=0)
    epochs: int = Field(default=10, ge=1)  # of each generation
    parents: int = Field(default=5, ge=1)  # the best ones, among which a parent is drawn
    mutation_probability: float = Field(default=0.8, gt=0, le=1)  # of each hyper-parameter
    sigma: float = Field(default=0.2, gt=0)


class DetectionSettings(Settings):
    """The detector, from copies to metrics.

    `weights` is `random`, the name of a checkpoint file in the weights folder (`yolov5xu.pt`), or a path to one; or
    `shipped`: the detector that comes with the program is taken as it is, nothing is copied or trained, and what is
    said here of copies, network and training has no effect. With `use_evolved` the best generation of
    `detector_evolution` replaces the hyper-parameters given here.
    """

    copies: int = Field(default=10, ge=0)  # augmented copies of each training film
    keep_original: bool = False  # train on the unaugmented film, too
    augmentation: AugmentationRanges = AugmentationRanges()
    image_px: int = Field(default=640, ge=64, multiple_of=32)  # films are squeezed to a square of this side

    model: DetectorModel = "yolov5x"
    weights: str = "yolov5xu.pt"
    epochs: int = Field(default=300, ge=1)
    batch: int = Field(default=4, ge=1)
    nominal_batch: int = Field(default=64, ge=1)  # gradients are gathered until about so many pictures were seen
    optimizer: Literal["SGD", "Adam", "AdamW", "NAdam", "RMSProp"] = "SGD"
    lr0: float = Field(default=0.00967, gt=0)
    lrf: float = Field(default=0.01, gt=0, le=1)  # last learning rate as a share of the first
    cosine: bool = False
    momentum: float = Field(default=0.92755, ge=0, lt=1)
    weight_decay: float = Field(default=0.00057, ge=0)
    warmup_epochs: float = Field(default=3.0, ge=0)
    geometry: GeometrySettings = GeometrySettings()
    evolution: EvolutionSettings = EvolutionSettings()
    use_evolved: bool = False
    validation_fold: int = Field(default=1, ge=1)  # protocol `patient`: whose films validate
    validation_share: float = Field(default=0.2, gt=0, lt=1)  # protocol `thesis`: of all copies
    device: str = "auto"  # `auto`, `cpu` or the number of a GPU
    workers: int = Field(default=0, ge=0)  # 0: one per core; for reading, copying and (on a GPU) loading

    n_external_films: int = Field(default=80, ge=1)  # films per external institution in `detector_metrics`
    metric_confidence: float = Field(default=0.001, gt=0, lt=1)
    metric_iou: float = Field(default=0.7, gt=0, lt=1)  # overlap above which the weaker of two boxes is dropped
    candidate_confidence: float = Field(default=0.05, gt=0, lt=1)  # weakest class probability that can become a level
    candidate_iou: float = Field(default=0.5, gt=0, lt=1)  # two candidates that overlap more are one body
    # The odds, at least, that every name of a resolved film is right. At 4 to 1 a detector of 900 wide phantoms told
    # 75 % of 250 films of the look withheld from it, 3 % of all with a wrong name (benchmarks/levels.py); of 150 films
    # like the demo's, the demo's detector 96 % and 1 %, as before.
    least_margin: float = Field(default=4.0, gt=0)
    # Levels, at least, of a resolved film. Every lateral film of the study shows L1 to L3 or more: where fewer bodies
    # have a name, the others were not found, and one or two alone cannot be counted.
    fewest_levels: int = Field(default=1, ge=1, le=5)

    @property
    def shipped(self) -> bool:
        """Return whether the detector that comes with the program is taken as it is."""
        return self.weights == SHIPPED

    @model_validator(mode="after")
    def _what_is_not_trained_does_not_evolve(self) -> "DetectionSettings":
        if self.shipped and (self.evolution.generations or self.use_evolved):
            raise ValueError("weights: shipped is taken as it is; leave evolution.generations at 0 and use_evolved out")
        return self
