"""Write one more synthetic external hospital, to try `make add-hospital` with.

python -m olvf_assets.phantom --out FOLDER --institution institution_3 --name "Institution 3 (synthetic)" --patients 12
"""

import argparse
import sys
from pathlib import Path
from typing import get_args

import yaml

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.phantom.hospital import write_hospital
from olvf_assets.phantom.settings import Detector, ImageCounts, LookName, PhantomSettings, SyntheticInstitution

PROFILES = Path(__file__).parents[1] / "profiles"


def extra_hospital(name: str, patients: int, look: LookName = "plain") -> SyntheticInstitution:
    """Return an external hospital unlike both of the thesis: 14 × 14 inch plate, another maker's detector.

    Its fractures are as frequent as in Institution 2 of the thesis, one film a patient. With another look than the
    plain one each film has a machine of its own.
    """
    fresh = round(patients * 0.55)
    like = yaml.safe_load((PROFILES / "thesis.yaml").read_text())["phantom"]["institutions"]["institution_2"]
    return SyntheticInstitution(
        name=name,
        role="external",
        patients_normal=0,
        patients_fresh=fresh,
        patients_old=patients - fresh,
        excluded_fresh={},
        excluded_old={},
        images=ImageCounts(**like["images"]),
        reread_patients=0,
        plate_mm=(355.6, 355.6),
        kvp=87.0,
        sid_mm=1200.0,
        spine_to_detector_mm=225.0,
        detectors=(Detector(name="SYNTHETIC FPD", manufacturer="Phantom Works", blur_mm=0.14),),
        modality="DX",
        monochrome1_share=0.3,
        quanta=150.0,
        scatter=1.1,
        edge_enhancement=0.3,
        range_compression=0.35,
        sign_factor=0.9,
        look=look,
    )


def main(arguments: list[str] | None = None) -> int:
    """Write the hospital that the command line describes and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m olvf_assets.phantom", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="landing folder to write (empty or not there yet)")
    parser.add_argument("--institution", default="institution_3", help="key, such as institution_3")
    parser.add_argument("--name", default="Institution 3 (synthetic)")
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--profile", choices=sorted(each.stem for each in PROFILES.glob("*.yaml")),
                        help="take sign_strength and overlap from this profile")  # fmt: skip
    parser.add_argument("--look", choices=get_args(LookName), default="plain",
                        help="wide: each film of another machine; withheld: beyond those, to measure with")  # fmt: skip
    parser.add_argument("--workers", type=int, default=0)
    asked = parser.parse_args(arguments)
    knobs: dict[str, float] = {}
    if asked.profile:
        said = yaml.safe_load((PROFILES / f"{asked.profile}.yaml").read_text())["phantom"]
        knobs = {name: said[name] for name in ("sign_strength", "overlap") if name in said}
    site = extra_hospital(asked.name, asked.patients, asked.look)
    settings = PhantomSettings(institutions={asked.institution: site}, **knobs)
    try:
        write_hospital(asked.out, asked.institution, settings, asked.seed, workers=asked.workers, report=print)
    except OlvfError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{asked.name}: {asked.patients} patients in {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
