"""The results that the thesis printed (Table 6 and the text of section 3.3), as plain reference beside a run's own.

What lives here: the printed figures under the names of what they are. Two rows of Table 6 carry other names than their
content: "false positive rate" is FP / (FP + TP), the false discovery rate; "false negative rate" is FN / (FN + TN), the
false omission rate. The printed label is kept beside. What does not: any judgement of a run.

Source: Ono, doctoral thesis, Hokkaido University 2024, doi 10.14943/doctoral.k15820.
"""

from dataclasses import dataclass

from olvf_assets.reporting.layout import COLUMNS


@dataclass(frozen=True)
class PrintedRow:
    """One row of Table 6.

    Attributes:
        metric: what the figures are, spelled as in the metric tables.
        label: what the thesis calls them.
        test: values of the test set in the order of COLUMNS: all, normal, old, fresh.
        external: values of the external set, likewise.
        test_interval: 95 % interval of `all`, test set.
        external_interval: 95 % interval of `all`, external set.
    """

    metric: str
    label: str
    test: tuple[float, float, float, float]
    external: tuple[float, float, float, float]
    test_interval: tuple[float, float]
    external_interval: tuple[float, float]

    def value(self, dataset: str, positive_class: str) -> float:
        """Return the printed value; dataset is `test` or `external`."""
        return (self.test if dataset == "test" else self.external)[COLUMNS.index(positive_class)]

    def interval(self, dataset: str, positive_class: str) -> tuple[float, float] | None:
        """Return the printed 95 % interval; only `all` has one."""
        if positive_class != "all":
            return None
        return self.test_interval if dataset == "test" else self.external_interval


TABLE_6 = (
    PrintedRow(
        "accuracy",
        "accuracy",
        (0.894, 0.930, 0.880, 0.871),
        (0.867, 0.861, 0.868, 0.872),
        (0.870, 0.917),
        (0.841, 0.892),
    ),
    PrintedRow(
        "sensitivity",
        "sensitivity",
        (0.836, 0.968, 0.791, 0.748),
        (0.674, 0.933, 0.550, 0.538),
        (0.790, 0.882),
        (0.603, 0.743),
    ),
    PrintedRow(
        "specificity",
        "specificity",
        (0.920, 0.908, 0.922, 0.930),
        (0.866, 0.722, 0.950, 0.925),
        (0.894, 0.946),
        (0.832, 0.898),
    ),
    PrintedRow(
        "false_discovery_rate",
        "false positive rate",
        (0.161, 0.146, 0.175, 0.163),
        (0.288, 0.134, 0.264, 0.465),
        (0.111, 0.211),
        (0.217, 0.363),
    ),
    PrintedRow(
        "false_omission_rate",
        "false negative rate",
        (0.077, 0.019, 0.096, 0.115),
        (0.111, 0.152, 0.108, 0.074),
        (0.053, 0.100),
        (0.079, 0.144),
    ),
    PrintedRow(
        "auc", "AUC", (0.912, 0.959, 0.903, 0.875), (0.855, 0.940, 0.790, 0.834), (0.861, 0.963), (0.767, 0.943)
    ),
)
