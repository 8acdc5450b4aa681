"""One network and the steps by which it learns.

What lives here: an epoch's random draws, one step, and on a GPU its recording as a CUDA graph. What does not: folds,
files and the order of things (`training.py`), Table 4 itself (`augmentation.py`).
"""

import math
from collections import Counter

import torch
from torch.nn.functional import cross_entropy

from olvf_assets.classification.augmentation import DRAWS, augment_batch
from olvf_assets.classification.networks import FractureClassifier
from olvf_assets.classification.settings import ClassificationSettings

Side = tuple[torch.Tensor, torch.Tensor]  # pixels uint8 (n, 1, height_px, width_px), class indices int64 (n,)

VALIDATION_BATCH = {"cpu": 64, "cuda": 512}
STEPS_BEFORE_RECORDING = 3  # of each batch size: in them libraries choose their kernels and take their memory


class Learner:
    """A network that learns from one set of samples, epoch after epoch.

    At the thesis's four pictures a step a GPU waits for Python most of the time. So there a step is recorded once for
    each batch size as a CUDA graph and then replayed, on a stream of its own, so that several learners of one process
    use the GPU at the same time. Whatever differs from step to step (pictures, alterations, learning rate) is laid on
    the device before the epoch, where a counter finds it.

    Args:
        model: the network, on the device of the samples.
        samples: what it learns from.
        settings: the room's settings.
        peak: the (highest) learning rate.
        recorded: whether a GPU's steps are recorded; a comparison may want them one by one.
    """

    def __init__(
        self,
        model: FractureClassifier,
        samples: Side,
        settings: ClassificationSettings,
        peak: float,
        *,
        recorded: bool = True,
    ) -> None:
        self.model, self.settings, self.peak = model, settings, peak
        self.pixels, self.labels = samples
        self.device = self.labels.device
        self.on_gpu = self.device.type == "cuda"
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            lr=torch.tensor(peak, device=self.device) if self.on_gpu else peak,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=settings.momentum > 0,
            fused=self.on_gpu,
        )
        self.steps = max(1, len(self.labels) // settings.batch)  # of an epoch
        self.sizes: list[int] = []  # of the batches of this epoch
        self.taken = 0  # steps of this epoch
        self.tables: dict[str, torch.Tensor] = {}  # this epoch's: a row a step
        self.number = torch.zeros(1, dtype=torch.int64, device=self.device)  # of the row that is next
        self.total = torch.zeros((), device=self.device)  # loss of this epoch's pictures
        self.recorded = self.on_gpu and recorded
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self.unrecorded: Counter[int] = Counter()
        self.stream = torch.cuda.Stream(self.device) if self.on_gpu else None

    def begin_epoch(self, epoch: int, seed: int) -> None:
        """Shuffle, and draw all that is random in the epoch (from 0): everything comes from `seed`, so none is kept."""
        torch.manual_seed(seed)  # dropout, where a network has it
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.labels), generator=generator)
        # parts of nearly equal size: every sample is seen, and no last batch is too small for batch normalisation
        batches = torch.tensor_split(order, self.steps)
        self.sizes = [len(batch) for batch in batches]
        samples = torch.zeros(self.steps, self.sizes[0], dtype=torch.int64)
        draws = torch.zeros(self.steps, DRAWS, self.sizes[0])
        for row, batch in enumerate(batches):
            samples[row, : len(batch)] = batch
            draws[row, :, : len(batch)] = torch.rand((DRAWS, len(batch)), generator=generator)
        first, steps = epoch * self.steps, self.settings.epochs * self.steps
        rates = [learning_rate(first + number, steps, self.peak, self.settings) for number in range(self.steps)]
        tables = {"samples": samples, "draws": draws, "rates": torch.tensor(rates, dtype=torch.float64)}
        if self.stream is not None:  # samples and weights, also those gone on from, came on another one
            self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            for name, table in tables.items():
                if name in self.tables:
                    self.tables[name].copy_(table)  # recorded steps read this very memory
                else:
                    self.tables[name] = table.to(self.device)
            self.number.zero_()
            self.total.zero_()
        self.taken = 0
        self.model.train()

    def step(self) -> None:
        """Take the epoch's next step; a GPU only gets it to do."""
        size = self.sizes[self.taken]
        self.taken += 1
        with torch.cuda.stream(self.stream):
            if size in self.graphs:
                self.graphs[size].replay()
            elif not self.recorded or self.unrecorded[size] < STEPS_BEFORE_RECORDING:
                self.unrecorded[size] += 1
                self._learn_from(size)
            else:
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                    self._learn_from(size)  # nothing is computed yet
                self.graphs[size] = graph
                graph.replay()

    def mean_loss(self) -> float:
        """Return the loss of the epoch so far, per picture; all that a GPU got to do is done then."""
        with torch.cuda.stream(self.stream):
            return float(self.total) / sum(self.sizes[: self.taken])

    @torch.inference_mode()
    def validate(self, validation: Side) -> torch.Tensor:
        """Return, float (2,) on the device, the mean loss and the share of right answers; a GPU only gets it to do."""
        pixels, labels = validation
        self.model.eval()
        with torch.cuda.stream(self.stream):
            parts = pixels.split(VALIDATION_BATCH[self.device.type])
            logits = torch.cat([self.model(part.float()) for part in parts])
            accuracy = (logits.argmax(dim=1) == labels).float().mean()
            return torch.stack([cross_entropy(logits, labels), accuracy])

    def momentum(self) -> dict[int, dict[str, torch.Tensor]]:
        """Return what the optimizer remembers of each weight, by the weight's number."""
        state: dict[int, dict[str, torch.Tensor]] = self.optimizer.state_dict()["state"]
        return state

    def go_on_from(self, momentum: dict[int, dict[str, torch.Tensor]]) -> None:
        """Take over what `momentum` returned before."""
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": momentum})

    def _learn_from(self, size: int) -> None:
        """Take the step of the row that is next; its first `size` pictures count."""
        indices = self.tables["samples"].index_select(0, self.number)[0, :size]
        draws = self.tables["draws"].index_select(0, self.number)[0, :, :size].contiguous()
        rate = self.tables["rates"].index_select(0, self.number)[0]
        for group in self.optimizer.param_groups:
            if self.on_gpu:
                group["lr"].copy_(rate)
            else:
                group["lr"] = float(rate)
        pictures = augment_batch(self.pixels[indices].float(), self.settings.augmentation, draws)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
            logits = self.model(pictures).float()
        loss = cross_entropy(logits, self.labels[indices], label_smoothing=self.settings.label_smoothing)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.total += loss.detach() * size
        self.number += 1


def learning_rate(step: int, steps: int, peak: float, settings: ClassificationSettings) -> float:
    """Return the learning rate of a step (from 0) out of `steps`, as `settings.schedule` says."""
    if settings.schedule == "constant":
        return peak
    warmup = settings.warmup_share * steps
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
