"""Remote files, over a file system of fsspec that fails like a busy server."""

from __future__ import annotations

import fsspec
import numpy as np
import pytest
from format_examples import nano
from fsspec.implementations.local import LocalFileSystem

from jetad import readers
from jetad.errors import InputError
from jetad.readers import base
from jetad.readers.containers import remote


class BusyServer(LocalFileSystem):
    """Local files behind a URL; the first ``failures`` openings fail."""

    protocol = "busy"
    cachable = False
    failures = 0
    message = "[ERROR] Operation expired"

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + str(path).removeprefix("busy:").lstrip("/")

    def _open(self, path, mode="rb", block_size=None, **options):
        if BusyServer.failures > 0:
            BusyServer.failures -= 1
            raise OSError(BusyServer.message)
        return super()._open(path, mode=mode, block_size=block_size, **options)


@pytest.fixture
def url(tmp_path, monkeypatch):
    fsspec.register_implementation("busy", BusyServer, clobber=True)
    monkeypatch.setattr(remote, "RETRY_DELAYS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(BusyServer, "failures", 0)
    path, _ = nano(tmp_path, 9, 1)
    return f"busy:/{path}", path


def test_remote_reads_as_the_file_itself(url):
    server_url, path = url
    assert readers.expand([server_url, f"{server_url}:Events"])[0].name == path.name
    here, there = readers.read(path), readers.read(f"{server_url}:Events")
    np.testing.assert_array_equal(there.jet_pt, here.jet_pt)  # NaN where a jet is empty
    assert readers.describe(server_url).n_jets == len(here)


def test_busy_server_is_asked_again(url, caplog, monkeypatch):
    monkeypatch.setattr(BusyServer, "failures", 3)
    assert len(readers.read(url[0])) == len(readers.read(url[1]))
    assert BusyServer.failures == 0
    assert caplog.text.count("Operation expired); trying again in 0 s") == 3


def test_but_not_for_ever(url, monkeypatch):
    monkeypatch.setattr(BusyServer, "failures", 100)
    with pytest.raises(InputError, match="Operation expired"):
        readers.read(url[0])
    assert BusyServer.failures == 96  # four attempts


def test_a_missing_file_is_not_asked_for_again(url, monkeypatch, caplog):
    with pytest.raises(InputError, match=r"nano_none\.root"):
        readers.read(url[0].replace("nano_1_9", "nano_none"))
    assert "trying again" not in caplog.text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("root://eos.cern.ch//store/x.root", "root://eos.cern.ch//store/x.root"),
        ("root://eos.cern.ch//store/x.root:dir/tree", "root://eos.cern.ch//store/x.root"),
        ("root:/eos.cern.ch/store/x.root", "root://eos.cern.ch//store/x.root"),
        ("root://eos.cern.ch:1094//store/x.root", "root://eos.cern.ch:1094//store/x.root"),
        ("https://a.b/c.root:t", "https://a.b/c.root"),
        ("x.root:/dir/tree", None),
        ("dir/x.root:tree", None),
        ("/abs/x.root", None),
    ],
)
def test_urls(path, expected):
    assert remote.remote_url(path) == expected
    tree = {"x.root:dir/tree": "dir/tree", "c.root:t": "t"}.get(
        path.rpartition("/store/")[2].rpartition("a.b/")[2]
    )
    if expected is not None:
        assert base.split_path(path)[1] == tree
        assert remote.remote_url(base.split_path(path)[0]) == expected
