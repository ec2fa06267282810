"""The published sets: where their files are, how large they are, and what their content is known by.

The records are those of Zenodo. The sums are those that published programs check when they download the
same files. For the top landscape, JetClass and the features of the LHC Olympics that is the MD5 sum of the
record, found in several programs that do not depend on each other. For the events of the LHC Olympics
(SHA-256) and for JetNet (MD5) it was found in one. For Dark Machines none was found.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SETS", "ReferenceFile", "ReferenceSet"]


class ReferenceFile(NamedTuple):
    """One published file.

    Arguments:
        name: Of the file.
        url: Where it is.
        checksum: ``md5:...`` or ``sha256:...`` of its content; ``None`` where none is known.
        size: Bytes, exactly; ``None`` where only ``about`` is known.
        about: Size as people say it.
    """

    name: str
    url: str
    checksum: str | None
    size: int | None = None
    about: str = ""


class ReferenceSet(NamedTuple):
    """A published set of jets.

    Arguments:
        summary: What it is.
        files: All of its files.
        usual: Names of those that are fetched if nothing else is said.
        reader: Of jetad, for its files.
        doi: Of the record.
        paper: To cite.
    """

    summary: str
    files: tuple[ReferenceFile, ...]
    usual: tuple[str, ...]
    reader: str
    doi: str
    paper: str


def _file(
    record: int, name: str, checksum: str | None, size: int | None = None, about: str = ""
) -> ReferenceFile:
    kind = {32: "md5", 64: "sha256"}[len(checksum)] if checksum else ""
    url = f"https://zenodo.org/records/{record}/files/{name}?download=1"
    return ReferenceFile(name, url, f"{kind}:{checksum}" if checksum else None, size, about)


_TOP, _JETCLASS, _LHCO, _JETNET, _DARK = 2603256, 6619768, 6466204, 6975118, 3961917

_JETCLASS_VAL, _JETCLASS_TEST = "7235ccb577ed85023ea3ab4d5e6160cf", "64e5156d26d101adeb43b8388207d767"
_JETCLASS_TRAIN = (
    "de4fd2dca2e68ab3c85d5cfd3bcc65c3",
    "9722a359c5ef697bea0fbf79bf50f003",
    "1e9f66cd1f915f9d10e90ae1d7761720",
    "47348fc8985319fa4806da87500482fa",
    "6b0ce16bd93b442a8d51914466990279",
    "416e347512e716de51d392bee327b8e9",
    "e9b9c1557b1b39bf0a16e4ab631ae451",
    "5bfc6cb285ccb7680cefa9ac82ad1a2e",
    "540c1a0d66dfad78d2b363c5740ccf86",
    "668f40b3275167ff7104c48317c0ae2a",
)

SETS: dict[str, ReferenceSet] = {
    "top-landscape": ReferenceSet(
        "QCD and top jets, pT 550 to 650 GeV; 1.2 M to train, 0.4 M each to validate and test",
        (
            _file(_TOP, "train.h5", "45663819f47c13724f67eb0fd80bfa5c", 1_038_496_555),
            _file(_TOP, "val.h5", "dca4b7248027618f041f9baa86d360fc", 347_378_076),
            _file(_TOP, "test.h5", "13163479dee30a5fe546e4536cc3d04d", 347_849_376),
        ),
        ("train.h5", "val.h5", "test.h5"), "landscape", "10.5281/zenodo.2603256", "arXiv:1902.09914",
    ),
    "jetclass": ReferenceSet(
        "jets of ten classes with charges of constituents; 100 M to train, 5 M to validate, 20 M to test",
        (
            _file(_JETCLASS, "JetClass_Pythia_val_5M.tar", _JETCLASS_VAL, about="7.6 GB"),
            _file(_JETCLASS, "JetClass_Pythia_test_20M.tar", _JETCLASS_TEST, about="30 GB"),
            *(
                _file(_JETCLASS, f"JetClass_Pythia_train_100M_part{i}.tar", known, about="15 GB")
                for i, known in enumerate(_JETCLASS_TRAIN)
            ),
        ),
        ("JetClass_Pythia_val_5M.tar",), "jetclass", "10.5281/zenodo.6619768", "arXiv:2202.03772",
    ),
    "lhco": ReferenceSet(
        "LHC Olympics R&D: 1 M dijet events of QCD, 0.1 M with W' -> XY; features of jets, or particles",
        (
            _file(_LHCO, "events_anomalydetection_v2.features.h5", "271cf5e71fc756b2a8d2b32730689bdb",
                  about="74 MB"),
            _file(_LHCO, "events_anomalydetection_Z_XY_qqq.features.h5", "1e729f7dff225451182c28afaa4bb411",
                  about="5 MB"),
            _file(_LHCO, "events_anomalydetection_v2.h5",
                  "5da8fda2ca78edf8fa5acc0af92fcb6a2d464ba7bf0fd75e3944a169b88cecc6", about="2.6 GB"),
        ),
        ("events_anomalydetection_v2.features.h5", "events_anomalydetection_Z_XY_qqq.features.h5"),
        "lhcofeatures, lhco", "10.5281/zenodo.6466204", "arXiv:2101.08320",
    ),
    "jetnet": ReferenceSet(
        "gluon, quark, top, W and Z jets of about 1 TeV with up to 30 constituents, 0.17 M each",
        (
            _file(_JETNET, "g.hdf5", "4f537329da897a22a59762c9fd8b74da", 87_919_040),
            _file(_JETNET, "q.hdf5", "0ede789774bb74d4795c5d19d7ef66c6", 84_658_832),
            _file(_JETNET, "t.hdf5", "6c9d0663b352c85f74fcd2553e6872bf", 88_262_768),
            _file(_JETNET, "w.hdf5", "16cc265cb039f76bba43bab408916e3e", 87_879_360),
            _file(_JETNET, "z.hdf5", "90ffacd034dc87c802bc43385af9fea3", 87_770_240),
        ),
        ("g.hdf5", "q.hdf5", "t.hdf5", "w.hdf5", "z.hdf5"),
        "jetnet", "10.5281/zenodo.6975118", "arXiv:2106.11535",
    ),
    "darkmachines": ReferenceSet(
        "Dark Machines: events as lists of objects, background and many signals in four channels",
        (_file(_DARK, "training_files.tar", None),),
        ("training_files.tar",), "darkmachines", "10.5281/zenodo.3961917", "arXiv:2105.14027",
    ),
}  # fmt: skip
