"""Seeds for every random choice.

What lives here: deriving independent seeds from the profile's one seed by name, so that the order of work, the number
of workers and unrelated changes never alter a choice. What does not: generators themselves.
"""

import hashlib


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for the thing called `names`, independent of all other names.

    Args:
        seed: the profile's seed.
        names: what the seed is for, e.g. `("augmentation", film_id, copy)`.
    """
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
