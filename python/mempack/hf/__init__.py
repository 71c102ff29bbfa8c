"""Memories inside Hugging Face `generate()`.

```python
import mempack.hf
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE), READER)  # or a model that has learnt to read by itself
tokenizer = AutoTokenizer.from_pretrained(BASE)
reader = mempack.hf.attach(model, tokenizer, "medical.mpk", embedder="models/all-MiniLM-L6-v2", memory_config=READER)
prompts = reader.prompts(["What is the elimination half-life of velmorine?"])
answers = model.generate(**prompts, max_new_tokens=64)
print(tokenizer.batch_decode(answers[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True))
for chunk in reader.citations()[0]:
    print(chunk.chunk, [(c.document, c.start, c.end, c.similarity) for c in chunk.citations])
```

It needs torch and transformers, which `pip install 'mempack[hf]'` brings.
"""

from .architecture import ModelError
from .citations import ChunkCitations, Citation
from .config import ConfigError, MemoryConfig
from .embedder import EmbedderError, FolderEmbedder
from .encode import EncodedMemories, EncodeError, encode
from .prompts import PromptError
from .reader import AttachError, Reader, attach

__all__ = [
    "AttachError",
    "ChunkCitations",
    "Citation",
    "ConfigError",
    "EmbedderError",
    "EncodeError",
    "EncodedMemories",
    "FolderEmbedder",
    "MemoryConfig",
    "ModelError",
    "PromptError",
    "Reader",
    "attach",
    "encode",
]
