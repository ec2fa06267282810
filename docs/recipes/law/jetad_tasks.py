"""Train on background, score several samples, draw ROC curves, as law tasks.

    export PYTHONPATH=$PWD LAW_CONFIG_FILE=$PWD/law.cfg
    law index
    law run Roc --version v1 --data /path/to/jets --workers 2

For a cluster, derive ``Score`` from ``law.htcondor.HTCondorWorkflow`` or ``law.slurm.SlurmWorkflow`` besides
``law.LocalWorkflow``, and set their options as for any other task of yours.
"""

import json
import os
import subprocess

import law
import luigi


class JetadTask(law.Task):
    """Options of all tasks, and where their outputs go: ``$JETAD_STORE/<version>``."""

    version = luigi.Parameter(description="name of this pass over the data")
    data = luigi.Parameter(description="folder with the jets")
    background = luigi.Parameter(default="qcd_train", description="sample to train on")
    background_test = luigi.Parameter(default="qcd_test", description="other background")
    signals = law.CSVParameter(default=("top", "svj"), description="samples to find")
    settings = law.CSVParameter(default=(), description="of jetad train, such as training.epochs=5")
    seed = luigi.IntParameter(default=1)

    def local_path(self, *names):
        return os.path.abspath(os.path.join(os.environ.get("JETAD_STORE", "store"), self.version, *names))

    def jets(self, sample):
        return os.path.join(os.path.abspath(self.data), f"{sample}.h5")

    def jetad(self, *words):
        """Run jetad; of exit code 85 (stopped after a checkpoint) the same command goes on, so try again."""
        for _ in range(3):
            code = subprocess.run(["jetad", *map(str, words)]).returncode
            if code != 85:
                break
        if code:
            raise RuntimeError(f"jetad {words[0]} ended with code {code}")


class RunTarget(law.LocalDirectoryTarget):
    """A run directory, which is there when the training has come to its end."""

    def exists(self):
        path = os.path.join(self.path, "provenance.json")
        if not os.path.exists(path):
            return False
        with open(path) as file:
            return json.load(file).get("status") == "finished"


class Train(JetadTask):
    def output(self):
        return RunTarget(self.local_path("run"))

    def run(self):
        settings = [word for setting in self.settings for word in ("--set", setting)]
        self.jetad(
            "train", "--background", self.jets(self.background), "--seed", self.seed, *settings,
            "--output", self.output().path,
        )  # fmt: skip


class Score(JetadTask, law.LocalWorkflow):
    """One branch a sample; finished parts of a failed one are used again."""

    def create_branch_map(self):
        return dict(enumerate([self.background_test, *self.signals]))

    def workflow_requires(self):
        return {"run": Train.req(self)}

    def requires(self):
        return Train.req(self)

    def output(self):
        return law.LocalFileTarget(self.local_path("scores", f"{self.branch_data}.scores.h5"))

    def run(self):
        self.output().parent.touch()
        self.jetad(
            "score", self.jets(self.branch_data), "--run", self.input().path, "-o", self.output().path
        )


class Roc(JetadTask):
    def requires(self):
        return Score.req(self)

    def output(self):
        return {
            "figure": law.LocalFileTarget(self.local_path("roc.pdf")),
            "numbers": law.LocalFileTarget(self.local_path("roc.json")),
        }

    def run(self):
        first, *others = self.input()["collection"].targets.values()
        signals = [f"{name}={target.path}" for name, target in zip(self.signals, others)]
        self.jetad(
            "roc", "--background", first.path, "--signal", *signals, "-o", self.output()["figure"].path,
            "--json", self.output()["numbers"].path, "--force",
        )  # fmt: skip
