"""Leading constituents of a jet as an array of fixed length, for networks on sets."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import Self

from ..errors import InputError
from ..jets import Jets
from ..settings import Strict
from .images import align

__all__ = ["ConstituentConfig", "JetConstituents"]


class ConstituentConfig(Strict):
    """Settings of the constituent representation."""

    representation: Literal["constituents"] = "constituents"
    n_constituents: int = Field(40, ge=1, description="leading ones that are kept")
    pt_power: float = Field(0.5, gt=0, description="w = (pT / sum of pT)^power")
    angular_scale: float = Field(0.4, gt=0, description="distance from the axis that counts as one")
    rotate: bool = True
    flip: bool = True


class JetConstituents:
    """The constituent representation, float32 ``(n_jets, n_constituents, 3)``.

    A constituent with the fraction z of the jet's pT at (eta', phi') in the frame of the image is
    ``(w, w eta' / s, w phi' / s)`` with ``w = z^power``. A constituent that gets soft goes to zero
    smoothly, and one that is absent is zero: the array needs no mask, and chains can make and remove
    constituents. Ordered by falling pT.
    """

    def __init__(self, config: ConstituentConfig | None = None) -> None:
        self.config = config or ConstituentConfig()

    def __repr__(self) -> str:
        return f"JetConstituents({self.config.n_constituents})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row, ``(n_constituents, 3)``."""
        return (self.config.n_constituents, 3)

    def fit(self, jets: Jets) -> Self:
        return self

    def transform(self, jets: Jets) -> NDArray[np.float32]:
        c = self.config
        if not jets.has_constituents:
            raise InputError("the jets have no constituents; use a detector of features of the file")
        eta, phi, valid = align(jets, rotate=c.rotate, flip=c.flip)
        jet = jets.jet_index
        pt = np.where(valid[jet], jets.pt, 0).astype(np.float64)
        total = jets.sum_over_constituents(pt)
        weight = (pt / np.where(total > 0, total, 1)[jet]) ** c.pt_power
        order = np.lexsort((-pt, jet))  # by jet, then by falling pT
        rank = np.arange(len(order)) - jets.offsets[:-1][jet[order]] + jets.offsets[0]
        keep = rank < c.n_constituents
        chosen, rank = order[keep], rank[keep]
        rows = np.zeros((len(jets), c.n_constituents, 3))
        w = weight[chosen]
        angles = [w * eta[chosen] / c.angular_scale, w * phi[chosen] / c.angular_scale]
        rows[jet[chosen], rank] = np.stack([w, *angles], axis=1)
        rows[~valid] = np.nan
        return rows.astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        return self.config.model_dump(mode="json")

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        return cls(ConstituentConfig(**state))
