"""Markov chains that draw negatives from the density of an energy: one sampler a file, one table."""

__all__ = ["SAMPLERS"]

SAMPLERS = {
    "omi": "jetad.samplers.on_manifold:OnManifoldSampler",
    "pcd": "jetad.samplers.persistent:PersistentSampler",
    "cd": "jetad.samplers.short_chain:ShortChainSampler",
    "recovery": "jetad.samplers.recovery:RecoverySampler",
}
