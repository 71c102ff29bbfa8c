"""Memory packs as numpy arrays.

A pack is a file of memories: attention keys and values that a language model wrote of the passages of a corpus, with the passages, their embeddings and a graph
to find them by. `Pack` opens one; `Mounts` holds several that are searched together. `mempack.hf` lets a model of transformers read memories in `generate()`.
"""

from mempack._native import (
    DamageError,
    Document,
    EmbedderIdentity,
    FilterError,
    Hit,
    Memories,
    MemoryShape,
    MempackError,
    MismatchError,
    ModelIdentity,
    MountError,
    Mounts,
    Pack,
    PackOpenError,
    Place,
    RepairError,
    SignatureError,
    __version__,
    main,
    report,
)

__all__ = [
    "DamageError",
    "Document",
    "EmbedderIdentity",
    "FilterError",
    "Hit",
    "Memories",
    "MemoryShape",
    "MempackError",
    "MismatchError",
    "ModelIdentity",
    "MountError",
    "Mounts",
    "Pack",
    "PackOpenError",
    "Place",
    "RepairError",
    "SignatureError",
    "__version__",
    "main",
    "report",
]
