"""jaxdet: detection and instance segmentation with large vocabularies in JAX."""

__version__ = '0.1.0'
