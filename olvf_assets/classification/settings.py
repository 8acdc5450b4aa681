"""What a study may vary in splits, replication, networks and training.

What lives here: the frozen settings of the room and the names of the three architectures. Defaults are the thesis's.
What does not: the patient-level split itself (cohort room), the replicas' augmentation (detection room, Table 3).
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from olvf_assets.foundation.settings import Settings
from olvf_assets.foundation.vocabulary import VertebraClass

Architecture = Literal["resnet50", "densenet161", "resnext50"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)

Factor = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class NetworkSettings(Settings):
    """One network.

    Attributes:
        model: timm's name of it.
        arguments: keyword arguments for timm's own constructor; this is how a small profile slims a network.
        learning_rate: the (highest) learning rate.
        weights: what training starts from: `random`, `imagenet` (timm's, downloaded once) or a .safetensors/.pth file.
    """

    model: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    learning_rate: Annotated[float, Field(gt=0)]
    weights: str = "random"


class AugmentationRanges(Settings):
    """Table 4 of the thesis: drawn anew for every picture in every epoch.

    Attributes:
        scale: lowest and highest magnification, drawn log-uniformly.
        rotation_deg: largest rotation either way, drawn uniformly.
        brightness: largest shift either way, as a share of full scale, drawn uniformly.
        contrast: largest factor about mid-grey; drawn log-uniformly between its inverse and itself.
    """

    scale: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.8, 1.05)
    rotation_deg: Annotated[float, Field(ge=0)] = 20.0
    brightness: Share = 0.2
    contrast: Annotated[float, Field(ge=1)] = 1.5


class ReplicationSettings(Settings):
    """How often each class appears; None computes round(normal / class), which balances the classes.

    The thesis wrote x1/x3/x4 for its test set and x1/x4/x5 for training (normal/old/fresh).
    """

    test: dict[VertebraClass, Factor] | None = None
    train: dict[VertebraClass, Factor] | None = None


class ClassificationSettings(Settings):
    """Everything between crops and class probabilities.

    Attributes:
        networks: the three members of the ensemble.
        replication: how often each class appears in the test and training sets.
        test_share: protocol `thesis`: share of each class's crops held out (`cohort.test_share` is of patients).
        augmentation: Table 4.
        input_divisor: the network sees crops of 166 / divisor by 140 / divisor pixels (area averaged, rounded up).
        folds: parts of the training set, each the validation set once.
        epochs, batch: passes over the training set, pictures a step (sizes of steps differ by at most one).
        momentum: of Nesterov's SGD.
        weight_decay, label_smoothing: as torch understands them.
        schedule: `constant`, or `one_cycle` (linear warm-up over `warmup_share` of all steps, then cosine to 0).
        precision: number type of the convolutions in training (on a GPU float32 multiplies in TF32); predictions are
            always made in float32.
        workers: trainings side by side; 0 means one per core, on a GPU as many as have `gpu_memory_gib` of what is
            free.
        gpu_memory_gib: room that one training on a GPU is given.
    """

    networks: dict[Architecture, NetworkSettings]
    replication: ReplicationSettings = ReplicationSettings()
    test_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    augmentation: AugmentationRanges = AugmentationRanges()
    input_divisor: Annotated[int, Field(ge=1)] = 1
    folds: Annotated[int, Field(ge=2)] = 5
    epochs: Annotated[int, Field(ge=1)] = 100
    batch: Annotated[int, Field(ge=2)] = 4
    momentum: Share = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    label_smoothing: Share = 0.0
    schedule: Literal["constant", "one_cycle"] = "constant"
    warmup_share: Share = 0.1
    precision: Literal["float32", "bfloat16"] = "float32"
    workers: Annotated[int, Field(ge=0)] = 0
    gpu_memory_gib: Annotated[float, Field(gt=0)] = 4.0
