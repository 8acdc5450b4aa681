"""A real Orthanc, on the loopback of a network of its own (`alone.sh`)."""

import json
import signal
import subprocess
import threading
from io import BytesIO
from pathlib import Path
from typing import Any

import requests
from pydicom.dataset import Dataset

from olvf_assets_tests.intake.pacs.peers import free_port

USER, PASSWORD = "spine", "a password of the tests"
STABLE_AGE_S = 1
START_S = 30.0


class RunningOrthanc:
    """An Orthanc with DICOM and DICOMweb, which knows AE title OLVF and one user.

    Args:
        folder: where it keeps what it stores.
        options: of its configuration, beside and over those below.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.http, self.dicom, self.own_port = free_port(), free_port(), free_port()
        self._configuration, self._folder = folder / "orthanc.json", folder
        ours = {"AET": "OLVF", "Host": "127.0.0.1", "Port": self.own_port}
        may = {f"Allow{each}": True for each in ("Echo", "Find", "Get", "Move", "Store")}
        said = {
            "Name": "SPINEPACS",
            "StorageDirectory": str(folder / "stored"),
            "IndexDirectory": str(folder / "stored"),
            "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
            "HttpPort": self.http,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "DefaultEncoding": "Utf8",
            "DicomAet": "SPINEPACS",
            "DicomPort": self.dicom,
            "DicomCheckCalledAet": True,
            "DicomCheckModalityHost": True,
            "DicomAlwaysAllowStore": False,
            "DicomAlwaysAllowFind": False,
            "DicomAlwaysAllowGet": False,
            "DicomAlwaysAllowMove": False,
            "DicomModalities": {"olvf": ours | may},
            "StableAge": STABLE_AGE_S,
            "OverwriteInstances": False,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        self._configuration.write_text(json.dumps(said | options))
        self.url = f"http://127.0.0.1:{self.http}"
        self.session = requests.Session()
        self.session.auth, self.session.trust_env = (USER, PASSWORD), False
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(["Orthanc", str(self._configuration)], stdout=log, stderr=log)
        pause = threading.Event()
        for _ in range(int(START_S / 0.1)):
            try:
                self.session.get(f"{self.url}/system", timeout=5.0).raise_for_status()
            except requests.ConnectionError:
                assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
                pause.wait(0.1)
            else:
                return
        raise TimeoutError("Orthanc did not start")

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def upload(self, *films: Dataset) -> None:
        for film in films:
            buffer = BytesIO()
            film.save_as(buffer, enforce_file_format=True)
            self.session.post(f"{self.url}/instances", data=buffer.getvalue()).raise_for_status()

    def get(self, path: str) -> Any:
        return self.session.get(self.url + path, headers={"Accept-Encoding": "identity"}).json()

    def by_dimse(self, **more: Any) -> dict[str, Any]:
        """Return the `[dimse]` of a site that asks this store."""
        return {"host": "127.0.0.1", "port": self.dicom, "called_ae": "SPINEPACS", "timeout_s": 20.0} | more

    def by_move(self) -> dict[str, Any]:
        return self.by_dimse(retrieve="move", own_address="127.0.0.1", own_port=self.own_port)

    def by_web(self, **more: Any) -> dict[str, Any]:
        """Return the `[dicomweb]` of a site that asks this store."""
        return {"url": f"{self.url}/dicom-web", "login": "basic", "timeout_s": 20.0} | more

    def feed(self) -> dict[str, Any]:
        """Return the `[orthanc]` of a site that follows this store."""
        return {"url": self.url, "login": "basic"}
