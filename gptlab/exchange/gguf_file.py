"""A model as one GGUF file with its tokenizer, which llama.cpp and what is built on it run.

Knows llama.cpp's settings and number formats; what it calls the weights stands in `gguf_tensors`, how it is given the
tokenizer in `gguf_vocabulary`. The file is read back and compared number by number.
"""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from torch import Tensor

from gptlab.exchange import gguf_outside
from gptlab.exchange.export import Exported, ExportError, Progress, Source
from gptlab.exchange.families import family_of
from gptlab.exchange.formats import NUMBER_FORMATS
from gptlab.exchange.gguf_tensors import ARCHITECTURES, state_of, tensors_of
from gptlab.exchange.gguf_vocabulary import Vocabulary, vocabulary_of
from gptlab.model.gpt import GPT

TYPES = {"f32": Type.F32, "f16": Type.F16, "q8_0": Type.Q8_0}
FILE_TYPES = {"f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}
EXACT = ("position_embd.weight", "ffn_gate_inp.weight")  # matrices that llama.cpp's own converter leaves in f32, too
BLOCK = 32  # numbers of a row that share a scale in q8_0
TOLERANCE = 0.01  # of the logits' spread: llama.cpp looks GELU up in a table of f16; without, it stays below a thousandth of this

AGAIN = "Nothing was exported; please try again, and report this if it stays so."

Value = bool | int | float | str | list


def write(source: Source, folder: Path, number_format: str, progress: Progress) -> Exported:
    """Write one .gguf file into `folder` and check it.

    Raises NoFamily, and ExportError where llama.cpp has no such model or tokenizer or what is read back differs.
    """
    if number_format not in NUMBER_FORMATS:
        raise ExportError(f"There is no number format '{number_format}': choose one of {', '.join(NUMBER_FORMATS)}.")
    model, architecture = source.model, ARCHITECTURES[family_of(source.config.model).name]
    if architecture == "qwen3moe" and source.config.model.bias:
        raise ExportError("llama.cpp's Qwen3-MoE has no biases: train one with model.bias false, or export as hf.")
    vocabulary = vocabulary_of(source.tokenizer, model.vocab_size)
    metadata = metadata_of(source, architecture, number_format, vocabulary)
    path = folder / f"{source.run.id}-{number_format}.gguf"
    progress(0.1, "Writing the file")
    _write(path, architecture, metadata, tensors_of(model, architecture), number_format)
    progress(0.4, "Reading the file back")
    model_of_file = read_back(path, source, architecture, metadata)
    return _compared(source, model_of_file, path, progress)


def metadata_of(source: Source, architecture: str, number_format: str, vocabulary: Vocabulary) -> dict[str, Value]:
    """All the file says besides its tensors, by llama.cpp's keys."""
    config, end_of_text = source.config.model, source.tokenizer.end_of_text
    shape = {"context_length": config.context_length, "embedding_length": config.n_embd, "block_count": config.n_layer,
             "feed_forward_length": config.hidden, "vocab_size": source.model.vocab_size,
             "attention.head_count": config.n_head, "attention.head_count_kv": config.kv_heads}
    if architecture == "gpt2":
        shape["attention.layer_norm_epsilon"] = config.norm_epsilon
    else:
        shape |= {"attention.layer_norm_rms_epsilon": config.norm_epsilon, "attention.key_length": config.head_size,
                  "attention.value_length": config.head_size, "rope.dimension_count": config.head_size,
                  "rope.freq_base": config.rope_theta}
    if config.n_expert is not None:
        shape |= {"expert_count": config.n_expert, "expert_used_count": config.n_expert_active,
                  "expert_feed_forward_length": config.hidden}
    return {"general.name": source.run.id, "general.description": f"Trained with GPT Lab, {source.step:,} steps.",
            "general.file_type": int(FILE_TYPES[number_format]), "general.quantization_version": gguf.GGML_QUANT_VERSION,
            **{f"{architecture}.{key}": value for key, value in shape.items()},
            "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2",
            "tokenizer.ggml.tokens": vocabulary.tokens, "tokenizer.ggml.token_type": vocabulary.types,
            "tokenizer.ggml.merges": vocabulary.merges,
            # Nothing begins a text here, but without one llama.cpp takes token 11.
            "tokenizer.ggml.bos_token_id": end_of_text, "tokenizer.ggml.eos_token_id": end_of_text,
            "tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.add_eos_token": False}


def stored_type(name: str, shape: tuple[int, ...], number_format: str) -> Type:
    """Vectors are always f32; a matrix whose rows do not divide into q8_0's blocks is f16 instead, as in llama.cpp's own."""
    if len(shape) == 1 or name.endswith(EXACT):
        return Type.F32
    if number_format == "q8_0" and shape[-1] % BLOCK:
        return Type.F16
    return TYPES[number_format]


def _write(path: Path, architecture: str, metadata: dict[str, Value], tensors: dict[str, Tensor], number_format: str) -> None:
    writer = gguf.GGUFWriter(path, architecture)
    kinds = {bool: gguf.GGUFValueType.BOOL, int: gguf.GGUFValueType.UINT32, float: gguf.GGUFValueType.FLOAT32,
             str: gguf.GGUFValueType.STRING, list: gguf.GGUFValueType.ARRAY}
    for key, value in metadata.items():
        writer.add_key_value(key, value, kinds[type(value)])
    for name, tensor in tensors.items():
        kind = stored_type(name, tuple(tensor.shape), number_format)
        with np.errstate(over="ignore"):  # what does not fit is found when the file is read back
            writer.add_tensor(name, gguf.quantize(tensor.contiguous().numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_back(path: Path, source: Source, architecture: str, metadata: dict[str, Value]) -> GPT:
    """Our model as the file has it. Raises ExportError where anything in it is not as in `source`, but for rounding."""
    reader, expected = gguf.GGUFReader(path), tensors_of(source.model, architecture)
    for key, value in {"general.architecture": architecture, **metadata}.items():
        field = reader.get_field(key)
        read = None if field is None else field.contents()
        if read != (float(np.float32(value)) if isinstance(value, float) else value):
            raise ExportError(f"The file written is wrong: {key} reads back as {str(read)[:60]}, not {str(value)[:60]}. {AGAIN}")
    if missing := set(expected) ^ {tensor.name for tensor in reader.tensors}:
        raise ExportError(f"The file written is wrong: {', '.join(sorted(missing))} should not be missing, or be there. {AGAIN}")
    tensors = {}
    for tensor in reader.tensors:  # a copy of each, so that the file is no longer held open
        values = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=True))
        tensors[tensor.name] = values.view(tuple(int(n) for n in reversed(tensor.shape)))
        _check_rounding(tensor.name, tensors[tensor.name], expected[tensor.name], tensor.tensor_type)
    model = copy.deepcopy(source.model)
    model.load_state_dict(state_of(tensors, model, architecture))
    for block in model.blocks:
        if architecture == "gpt2":
            block.mlp.kind = "gelu_tanh"  # the only GELU that llama.cpp has for it
    return model


def _check_rounding(name: str, read: Tensor, expected: Tensor, kind: Type) -> None:
    """Raises ExportError where a number is further off than its format rounds."""
    if read.shape != expected.shape:
        raise ExportError(f"The file written is wrong: {name} is {tuple(read.shape)}, not {tuple(expected.shape)}. {AGAIN}")
    if kind == Type.F32:
        allowed = torch.zeros(())
    elif kind == Type.F16:
        allowed = expected.abs() * 2.0 ** -11 + 2.0 ** -25  # half of the last of 11 bits; below 2^-14 they get fewer
    else:  # 127 steps to a block's largest number, and their size is an f16
        step = expected.unflatten(-1, (-1, BLOCK)).abs().amax(dim=-1).repeat_interleave(BLOCK, dim=-1) / 127
        allowed = step * (0.5 + 127 * 2.0 ** -11) + 127 * 2.0 ** -25
    wrong = ~((read - expected).abs() <= allowed * 1.0001)  # so that NaN is wrong, too; the last bits of these very sums
    if wrong.any():
        raise ExportError(f"{int(wrong.sum()):,} numbers of {name} cannot be stored as {kind.name.lower()}, the first "
                          f"{expected[wrong][0]:g}: export as f32.")


def _compared(source: Source, model_of_file: GPT, path: Path, progress: Progress) -> Exported:
    """What the file's numbers, and llama.cpp with them, make of a real prompt. Raises ExportError where llama.cpp's tokens or
    logits are others than ours."""
    ids, gelu = source.prompt_ids(), source.config.model.mlp == "gelu"
    with torch.no_grad():
        ours, rounded = source.model(ids)[0], model_of_file(ids)[0]  # (T, V)
    stored = "the numbers as stored, and GELU by tanh as llama.cpp has it," if gelu else "the numbers as stored"
    moved = _furthest(rounded - ours)  # (T,)
    move = f"move by at most {moved.max():.2g}" if moved.any() else "stay the same"
    checked = (f"Every number and setting was read back and compared. With {stored} our own logits on a real prompt of "
               f"{ids.size(1)} tokens {move}")
    if not gguf_outside.is_installed():
        return Exported(path, None, f"{checked}. llama.cpp has not run the file, since its Python package is not installed "
                                    "(pip install llama-cpp-python).")
    progress(0.7, "Running the file in llama.cpp")
    with contextlib.closing(gguf_outside.opened(path, ids.size(1))) as llama:  # the folder is renamed when this is done
        if gguf_outside.ids_of(llama, source.prompt) != source.tokenizer.encode(source.prompt).tolist():
            raise ExportError(f"llama.cpp makes other tokens of a text than the model's tokenizer. {AGAIN}")
        differences = _furthest(torch.from_numpy(gguf_outside.logits_of(llama, ids[0].tolist())) - ours)  # (T,)
    # Of the middle token: rounding may send some to other experts, which moves their logits far, and is no mistake. In what
    # flows llama.cpp rounds as in the file, about as much again.
    usual, rounding, spread = differences.median(), moved.median(), ours.std(dim=1).median()
    if not usual <= 3 * rounding + TOLERANCE * spread:
        raise ExportError(f"llama.cpp's logits differ from ours by {usual:.2g} on most tokens, more than rounding does "
                          f"({rounding:.2g}). {AGAIN}")
    return Exported(path, float(differences.max()),
                    f"{checked}; llama.cpp makes the same tokens of it, and logits that differ from ours by at most "
                    f"{differences.max():.2g}, and by {usual:.2g} or less on half of the tokens.")


def _furthest(differences: Tensor) -> Tensor:
    """The largest of each token's (T, V): (T,)."""
    return differences.abs().amax(dim=1)
