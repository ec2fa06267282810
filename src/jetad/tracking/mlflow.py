"""MLflow: a run in the experiment ``jetad``, or that of MLFLOW_EXPERIMENT_NAME."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import Any

from .. import __version__
from .base import Tracker

__all__ = ["MLflow"]

_FORBIDDEN = re.compile(r"[^\w\-. /:]")  # in names
_LONGEST = 500  # of a value
_AT_ONCE = 100  # settings in one request
_STATES = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class MLflow(Tracker):
    """Metrics and settings of a run, where MLFLOW_TRACKING_URI says, or where MLflow puts them by itself."""

    def begin(self, step: int) -> None:
        from mlflow import MlflowClient

        # a client of its own: what the program around has set up in mlflow stays as it is
        self._client: Any = MlflowClient()
        if self.known:
            self._id = self.known
            self._client.update_run(self._id, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "jetad")
        experiment = self._client.get_experiment_by_name(name)
        number = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        tags = {"jetad": __version__}
        self._id = self._client.create_run(number, run_name=self.run.path.name, tags=tags).info.run_id
        self._log_settings()

    def _log_settings(self) -> None:
        from mlflow.entities import Param

        params = [Param(_FORBIDDEN.sub("_", k), str(v)[:_LONGEST]) for k, v in self.settings.items()]
        for first in range(0, len(params), _AT_ONCE):
            self._client.log_batch(self._id, params=params[first : first + _AT_ONCE])

    @property
    def identity(self) -> str:
        return str(self._id)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(_FORBIDDEN.sub("_", name), value, now, step) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def end(self, state: str) -> None:
        self._client.set_terminated(self._id, status=_STATES[state])
