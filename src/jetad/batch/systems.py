"""The batch systems, by name."""

__all__ = ["BATCH_SYSTEMS"]

BATCH_SYSTEMS = {
    "slurm": "jetad.batch.slurm:Slurm",
    "htcondor": "jetad.batch.htcondor:HTCondor",
}
