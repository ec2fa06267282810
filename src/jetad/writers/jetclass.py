"""The layout of JetClass (2202.03772): a ROOT tree with one jet per entry, written by uproot."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from ..jets import Jets
from ..jets.kinematics import cartesian, delta_phi

__all__ = ["PROVENANCE", "TREE", "write"]

TREE = "tree"
PROVENANCE = "jetad_provenance"
_BACKGROUND_LABEL = "label_QCD"
_JETS_PER_BASKET = 5000


def write(jets: Jets, path: Path, metadata: dict[str, str]) -> None:
    """Write jets to the tree ``tree``; metadata goes to the TObjString ``jetad_provenance`` as JSON.

    ``part_deta`` and ``part_dphi`` are relative to the jet axis, the former mirrored for jets at negative
    eta as in JetClass. Background has ``label_QCD`` 1, signal the branch that ``metadata["class_label"]``
    names (``label_signal`` by default); unknown truth has 0 in both. Observables become branches, and
    charges ``part_charge`` where they are known.
    """
    import uproot

    signal_label = metadata.get("class_label", "label_signal")
    if signal_label == _BACKGROUND_LABEL:
        signal_label = "label_signal"
    identity = _identity(jets, metadata)
    buffer = io.BytesIO()  # to a path, uproot would write the (temporary) name into the file
    with uproot.recreate(buffer, uuid_function=lambda: identity) as file:
        branches = _branches(jets[:1], signal_label)
        tree = file.mktree(TREE, {name: _kind(value) for name, value in branches.items()})
        for start in range(0, len(jets), _JETS_PER_BASKET):
            tree.extend(_branches(jets[start : start + _JETS_PER_BASKET], signal_label))
        file[PROVENANCE] = json.dumps(metadata, sort_keys=True)
        data = bytearray(buffer.getbuffer())
    path.write_bytes(_without_dates(data))


def _branches(jets: Jets, signal_label: str) -> dict[str, Any]:
    import awkward as ak

    energy_gev, px, py, pz = cartesian(jets.pt, jets.eta, jets.phi, jets.mass)
    counts = jets.n_constituents
    axis_eta, axis_phi = (np.repeat(v, counts) for v in (jets.jet_eta, jets.jet_phi))
    particles = {
        "px": px,
        "py": py,
        "pz": pz,
        "energy": energy_gev,
        "deta": (jets.eta - axis_eta) * np.where(axis_eta > 0, 1, -1),
        "dphi": delta_phi(jets.phi, axis_phi),
        **({} if jets.charge is None else {"charge": jets.charge}),
    }
    jet_pt, jet_mass = jets.jet_pt.astype(np.float64), jets.jet_mass.astype(np.float64)
    jet_energy = np.sqrt((jet_pt * np.cosh(jets.jet_eta.astype(np.float64))) ** 2 + jet_mass**2)
    labels = np.full(len(jets), -1) if jets.labels is None else jets.labels
    return {
        "part": ak.unflatten(ak.zip({k: v.astype(np.float32) for k, v in particles.items()}), counts),
        "jet_pt": jets.jet_pt,
        "jet_eta": jets.jet_eta,
        "jet_phi": jets.jet_phi,
        "jet_energy": jet_energy.astype(np.float32),
        "jet_nparticles": counts.astype(np.int32),
        _BACKGROUND_LABEL: (labels == 0).astype(np.int32),
        signal_label: (labels == 1).astype(np.int32),
        **{name: value for name, value in jets.observables.items() if value.dtype.kind in "iufb"},
    }


def _identity(jets: Jets, metadata: dict[str, str]) -> uuid.UUID:
    """The file's UUID, from its content: from the clock, equal jets would not give equal bytes.

    It may not be a constant either: uproot caches what it has read under the UUID.
    """
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for array in (
        jets.pt,
        jets.eta,
        jets.phi,
        jets.mass,
        jets.offsets,
        jets.charge,
        jets.labels,
        *jets.observables.values(),
    ):
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    return uuid.UUID(bytes=digest.digest()[:16], version=5)


def _kind(value: Any) -> Any:
    return value.dtype if isinstance(value, np.ndarray) else value.type.content


def _without_dates(data: bytearray) -> bytearray:
    """Set the dates of all records to ROOT's zero (1 January 1995), so that equal jets give equal bytes.

    A ROOT file is a header and records, each with a key (TFile class documentation): length, version,
    object length, date, ... A directory holds two more dates, and copies of the keys of its objects. What
    uproot has rewritten elsewhere leaves gaps between the records; they are filled with zeros.
    """
    _, begin, end, seek_free = struct.unpack_from(">iiii", data, 4)
    name_length, *_ = struct.unpack_from(">i", data, 28)
    seek_streamers, *_ = struct.unpack_from(">i", data, 37)
    directory = begin + name_length  # version, created, modified, length of keys, of name, three seeks
    data[directory + 2 : directory + 10] = bytes(8)
    seek_keys, *_ = struct.unpack_from(">i", data, directory + 26)
    records = {begin, seek_free, seek_streamers, seek_keys, *_seeks_of_objects(data)}
    position = seek_keys + struct.unpack_from(">h", data, seek_keys + 14)[0]  # behind the key of the list
    n_keys, *_ = struct.unpack_from(">i", data, position)
    position += 4
    for _ in range(n_keys):
        _clear_key(data, position)
        position += struct.unpack_from(">h", data, position + 14)[0]  # a key's own length
    filled = begin
    for position in sorted(records):
        data[filled:position] = bytes(position - filled)
        _clear_key(data, position)
        filled = position + struct.unpack_from(">i", data, position)[0]
    data[filled:end] = bytes(end - filled)
    return data


def _seeks_of_objects(data: bytearray) -> set[int]:
    """Where the keys of all objects and of all baskets of trees are."""
    import uproot

    seeks = set()
    with uproot.open(io.BytesIO(data)) as file:
        for name in file.keys(recursive=False):
            seeks.add(int(file.key(name).fSeekKey))
            if file.classname_of(name) == "TTree":
                for branch in file[name].branches:
                    seeks.update(branch.member("fBasketSeek")[: branch.member("fWriteBasket")].tolist())
    return seeks


def _clear_key(data: bytearray, position: int) -> None:
    data[position + 10 : position + 14] = bytes(4)
