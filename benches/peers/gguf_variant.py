"""Writes a GGUF file again with its matrices in another type, so that llama.cpp decodes the same weights at several precisions.

    python3 gguf_variant.py FROM.gguf TO.gguf Q8_0|BF16

Needs the packages `gguf` and `numpy`.
"""

import sys

import gguf
import numpy as np

source, target, kind = sys.argv[1], sys.argv[2], gguf.GGMLQuantizationType[sys.argv[3]]
reader = gguf.GGUFReader(source)
field = reader.fields["general.architecture"]
writer = gguf.GGUFWriter(target, str(bytes(field.parts[field.data[0]]), "utf-8"))
for name, field in reader.fields.items():
    if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
        continue
    kinds = field.types
    writer.add_key_value(name, field.contents(), kinds[0], sub_type=kinds[-1] if kinds[0] == gguf.GGUFValueType.ARRAY else None)
for tensor in reader.tensors:
    numbers = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    if numbers.ndim == 1:
        writer.add_tensor(tensor.name, numbers)
    else:
        writer.add_tensor(tensor.name, gguf.quants.quantize(numbers, kind), raw_dtype=kind)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
