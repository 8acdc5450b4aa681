import numpy as np
import pydantic
import pytest

from olvf_assets.phantom.quotas import fit_moments, quota
from olvf_assets.phantom.settings import ImageCounts


def test_quota_is_exact_in_total_and_follows_the_weights() -> None:
    assert quota({"a": 2, "b": 1, "c": 1}, 8) == {"a": 4, "b": 2, "c": 2}
    assert sum(quota({"a": 1, "b": 1, "c": 1}, 10).values()) == 10
    assert quota({"a": 1.0}, 0) == {"a": 0}
    assert quota({"a": 0, "b": 0}, 1) == {"a": 1, "b": 0}


@pytest.mark.parametrize("size", [60, 135, 280])
def test_fitted_values_have_the_wanted_moments_and_keep_their_order(size: int) -> None:
    drawn = np.random.default_rng(size).normal(70, 15, size)
    fitted = np.array(fit_moments(drawn, 69.6, 13.7, 30, 90))
    assert fitted.mean() == pytest.approx(69.6, abs=0.01)
    assert fitted.std(ddof=1) == pytest.approx(13.7, abs=0.01)
    assert fitted.min() >= 30
    assert fitted.max() <= 90
    assert np.corrcoef(drawn, fitted)[0, 1] > 0.97


def test_too_few_values_are_only_rounded_into_the_bounds() -> None:
    assert fit_moments([], 70, 10, 40, 90) == []
    assert fit_moments([95.2], 70, 10, 40, 90) == [90]
    assert fit_moments([61.4, 61.4], 70, 10, 40, 90) == [61, 61]


def test_image_counts_that_cannot_hold_together_are_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="720 usable images of L1 cannot be on 716 films"):
        ImageCounts(normal={"L1": 334, "L2": 1, "L3": 1, "L4": 1, "L5": 1})
    with pytest.raises(pydantic.ValidationError, match="films must be 436"):
        ImageCounts(films=717)
    with pytest.raises(pydantic.ValidationError, match="each need a count for L1, L2, L3, L4, L5"):
        ImageCounts(fresh={"L1": 3})
