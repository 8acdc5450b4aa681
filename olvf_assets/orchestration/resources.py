"""The study and its lake as Dagster resources.

What lives here: which profile is in force, where the data folder is, which institutions there are. What does not: any
number of the study (profiles), any reading of what a hospital sent (intake), how a table is stored (`storage.lake`).
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from dagster import ConfigurableIOManagerFactory, ConfigurableResource, InitResourceContext, get_dagster_logger
from pydantic import PrivateAttr

from olvf_assets.foundation.errors import MachineError, OlvfError
from olvf_assets.foundation.made import frame_digest
from olvf_assets.foundation.write_faults import NO_ROOM, write_fault
from olvf_assets.intake.landing.institution_file import read_institution, role_between_the_lines
from olvf_assets.orchestration.event_log import held_event_log
from olvf_assets.orchestration.lost_runs import announce, report_lost_runs
from olvf_assets.profiles import Profile, load_profile, profile_name
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.crash import tidy_after_crash
from olvf_assets.storage.lake_lease import hold_lake
from olvf_assets.storage.landing_folders import landing_folders, odd_folders
from olvf_assets.storage.left_out import LeftOut, Stop
from olvf_assets.storage.places import REMOTE, data_folder, lake_address, require_lake_of, store_of
from olvf_assets.storage.run_lock import hold_data_folder
from olvf_assets.storage.stored_tables import Version

if TYPE_CHECKING:
    from olvf_assets.storage.lake import Lake

MOST_KEPT_BYTES = 64 * 2**20  # of a table that was read; a larger one is read each time


class DataFolderError(MachineError):
    """The data folder cannot be written to."""


class AbsentTableError(MachineError):
    """A table that another one is made of is not in the lake."""


class LakeResource(ConfigurableIOManagerFactory["Lake"]):
    """The lake, whose libraries (pyarrow and pandas among them) are loaded by the first run that reads or writes it.

    The code location, its sensors and every command that only looks at the graph start without them.

    Attributes:
        base_dir: where the tables lie, a path or the address of an object store.
    """

    base_dir: str

    def create_io_manager(self, context: InitResourceContext) -> "Lake":
        """Return what reads and writes tables."""
        from dagster_polars.io_managers.delta import DeltaWriteMode

        from olvf_assets.storage.lake import Lake
        from olvf_assets.storage.object_store import register_for_tables

        if self.base_dir.startswith(REMOTE):
            register_for_tables()
        lake = Lake(base_dir=self.base_dir, mode=DeltaWriteMode.overwrite)
        lake.setup_for_execution(context)
        return lake


class StudyResource(ConfigurableResource):
    """Profile and folders of a run, and the institutions that bad input has stopped in it.

    Attributes:
        profile_name: a file of `olvf_assets/profiles` without `.yaml`.
        data_folder: where landing/, lake/, reports/ and olvf.duckdb lie.
        lake: the address of the object store that the lake lies in; "" where it lies in the data folder.
    """

    profile_name: str
    data_folder: str
    lake: str = ""

    @classmethod
    def at_hand(cls) -> "StudyResource":
        """Return the study that environment variables name.

        Raises:
            LakePlaceError: the data folder belongs to another lake.
        """
        data, lake = data_folder(), lake_address()
        require_lake_of(data, lake)
        return cls(profile_name=profile_name(), data_folder=str(data), lake=lake)

    _profile: Profile | None = PrivateAttr(default=None)
    _frames: dict[str, tuple[Version, pl.DataFrame]] = PrivateAttr(default_factory=dict)
    _digests: dict[str, tuple[Version, str]] = PrivateAttr(default_factory=dict)

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Iterator["StudyResource"]:
        """Hold the data folder for the time of a run; a second run waits, or ends at once where OLVF_WAIT is 0.

        Sensors and schedules, which read and change nothing there, hold nothing.

        Raises:
            DataFolderError: as `setup_for_execution`.
            DataFolderInUseError: another run holds the folder and this one is not to wait.
            DataFolderLockError: the folder's file system knows no locks.
            LakeInUseError: a run on another machine holds the lake, and this one is not to wait.
        """
        self.setup_for_execution(context)
        run, instance = context.run, context.instance
        if run is None or instance is None:
            yield self
            return
        log = context.log or get_dagster_logger()
        announce(instance, self.data, run.run_id)
        report_lost_runs(instance, self.data, report=log.warning)
        wait = os.environ.get("OLVF_WAIT") != "0"
        with (
            hold_data_folder(self.data, run.run_id, wait=wait, report=log.warning) as died,
            hold_lake(self.lake, self.data, run.run_id, wait=wait, report=log.warning),
        ):
            if (odd := odd_folders(self.data / "landing")) is not None:
                log.warning(odd)
            if died is not None:
                tidy_after_crash(self.data, self.store, report=log.warning)
            with held_event_log(instance, run.run_id):
                yield self

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Refuse a data folder that cannot be written to, or an unsafe object store, before any work is done.

        Raises:
            DataFolderError: names the folder and the way out.
            LakePlaceError: the data folder belongs to another lake.
            ObjectStoreError: the store that the lake lies in cannot be used.
        """
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.data).close()
        except OSError as error:
            if error.errno in NO_ROOM and (fault := write_fault(self.data / "landing", error)) is not None:
                raise fault from None
            raise DataFolderError(
                f"{self.data}: the data folder cannot be written to ({error.strerror}); give this user the right to "
                "write there, or set OLVF_DATA to a folder that can be written to"
            ) from None  # what the system said is in the message, and Dagster shows the innermost error last
        require_lake_of(self.data, self.lake)
        if self.lake:
            from olvf_assets.storage.object_store import try_out

            try_out(self.lake)

    @property
    def profile(self) -> Profile:
        """Return the profile, read once."""
        if self._profile is None:
            self._profile = load_profile(self.profile_name)
        return self._profile

    @property
    def data(self) -> Path:
        """Return the data folder."""
        return Path(self.data_folder)

    @property
    def store(self) -> ArtifactStore:
        """Return the store of pictures and long work."""
        return store_of(self.data, self.lake)

    def has_table(self, name: str) -> bool:
        """Return whether a table was ever written to the lake."""
        return self.store.tables.is_there(name)

    def institutions(self) -> list[str]:
        """Return the keys of all institutions: the synthetic ones of the profile and every landing folder, sorted."""
        return sorted({*self.profile.phantom.institutions, *landing_folders(self.data / "landing")})

    def stored(self, name: str) -> pl.DataFrame | None:
        """Return a table as it lies in the lake, None if it was never written; each version of it is read once."""
        version = self.version(name)  # before the rows are read: what is written meanwhile is read next time
        if version is None and not self.has_table(name):
            return None
        kept, frame = self._frames.get(name, (None, None))
        if frame is None or kept is None or kept != version:
            frame = self.store.tables.read(name)
            if version is not None and frame.estimated_size() <= MOST_KEPT_BYTES:
                self._frames[name] = version, frame
        return frame.clone()

    def table(self, name: str) -> pl.DataFrame:
        """Return a table as it lies in the lake.

        Raises:
            AbsentTableError: it was never made.
        """
        found = self.stored(name)
        if found is None:
            raise AbsentTableError(f"table {name} is not in the lake; materialise it first: --select '+{name}' or '*'")
        return found

    def stored_digest(self, name: str) -> str:
        """Return the digest of a table as it lies in the lake."""
        version = self.version(name)
        kept, digest = self._digests.get(name, (None, ""))
        if kept is None or kept != version:
            digest = frame_digest(self.stored(name))
            if version is not None:
                self._digests[name] = version, digest
        return digest

    def version(self, name: str) -> Version | None:
        """Return what tells the versions of a table in the lake apart, None if it has none."""
        return self.store.tables.version(name)

    def train_without(self) -> frozenset[str]:
        """Return the development hospitals that nothing is learnt from."""
        return frozenset(self.profile.train_without)

    def stop(self, run_id: str, institution: str, table: str, reason: str) -> None:
        """Leave an institution out of the rest of a run, and out of what is learnt until its table can be made."""
        self._left_out.note(Stop(institution, self.role(institution), table, reason, run_id))

    def made(self, institution: str, table: str) -> None:
        """Note that a table of an institution could be made."""
        self._left_out.end(institution, table)

    def left_out(self) -> tuple[Stop, ...]:
        """Return the institutions that are left out now, by this run or an earlier one."""
        return tuple(self._left_out.stops(self.institutions()))

    def stopped(self, run_id: str) -> dict[str, str]:
        """Return the institutions left out of a run, with the reason."""
        return {stop.institution: stop.reason for stop in self.left_out() if stop.run_id == run_id}

    def role(self, institution: str) -> str:
        """Return an institution's role: what its file says, else what the lake or the profile knows, else `unknown`.

        A file that cannot be read as a whole may still hold the word; a hospital that never said its role has not been
        part of what was learnt.
        """
        folder = self.data / "landing" / institution
        try:
            return read_institution(folder).role
        except (OlvfError, OSError):
            known = self.stored("institutions")
        roles = [] if known is None else known.filter(pl.col("institution") == institution)["role"].to_list()
        if institution in self.profile.phantom.institutions:
            roles.append(self.profile.phantom.institutions[institution].role)
        return roles[0] if roles else role_between_the_lines(folder)

    @property
    def _left_out(self) -> LeftOut:
        return LeftOut(self.store)
