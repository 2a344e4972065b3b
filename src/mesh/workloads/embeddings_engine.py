"""The engine of embeddings: tokenizers and onnxruntime on the CPU. Imported only in an engine's process.

Arithmetic is fp32 and every lane is a session of one thread, so a text's vector is the same to the last bit alone, in
any batch and with any padding (tests/programs/test_engines.py). Pooling leaves padding out altogether.

Touches: model files.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from mesh.workloads.contract import Model, Payload, Piece, Say, Stop
from mesh.workloads.embeddings import TextTooLong, may_cut, texts_of

BATCH_PIECES_MAX = 16
"""Two sessions of one thread with batches of 16 gave the most of all schemes measured (benchmarks/
embeddings_batching.py): larger batches pad more and gain nothing."""

BATCH_TOKENS_MAX = 2048
"""Padded tokens of a batch: 32 texts of 195 tokens let a session grow to 1.1 GB."""


class OnnxEmbeddings:
    """A sentence transformer with mean pooling: ``lanes`` sessions of one thread each."""

    batch_pieces_max = BATCH_PIECES_MAX
    batch_size_max = BATCH_TOKENS_MAX

    def __init__(self, model: Model) -> None:
        """Load tokenizer and sessions; ``settings`` give ``tokens_max`` and ``dim``."""
        self.lanes = self.others_lanes = model.lanes
        self._model = model.id
        self._tokens_max = int(model.settings["tokens_max"])
        self._dim = int(model.settings["dim"])
        self._tokenizer = Tokenizer.from_file(model.files["tokenizer.json"])
        # the file pads every text to 128 tokens and silently cuts what is longer
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._sessions = [_session(model.files["model.onnx"]) for _ in range(self.lanes)]

    def cut(self, payload: Payload) -> Iterator[Piece]:
        """One piece per text: its token ids [tokens] int64. Raises TextTooLong; a text is cut only where that is asked.

        Cut ones keep their end mark, as the model learned it.
        """
        cut = may_cut(payload)
        for index, text in enumerate(texts_of(payload)):
            ids = self._tokenizer.encode(text).ids
            if len(ids) > self._tokens_max and cut:
                ids = [*ids[: self._tokens_max - 1], ids[-1]]
            elif len(ids) > self._tokens_max:
                raise TextTooLong(index=index, tokens=len(ids), limit=self._tokens_max)
            yield Piece(np.array(ids, dtype=np.int64), len(ids))

    def work(self, lane: int, pieces: Sequence[Piece], stop: Stop, say: Say) -> list[NDArray[np.float32]]:
        """Embed token ids: one vector [dim] float32 of unit length per piece. A stop ends it at the next operator."""
        longest = max(piece.size for piece in pieces)
        ids = np.zeros((len(pieces), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, piece in enumerate(pieces):
            ids[row, : piece.size] = piece.content
            mask[row, : piece.size] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        options = ort.RunOptions()
        stop.then(lambda: setattr(options, "terminate", True))
        hidden = self._sessions[lane].run(["last_hidden_state"], inputs, options)[0]
        return [_pooled(hidden[row, : piece.size]) for row, piece in enumerate(pieces)]

    def join(self, payload: Payload, pieces: Sequence[Piece], answers: Sequence[NDArray[np.float32]]) -> Payload:
        """Stack vectors into one blob [count, dim] float32, little-endian."""
        blob = np.stack(answers).astype("<f4", copy=False).tobytes()
        tokens = sum(piece.size for piece in pieces)
        return Payload({"model": self._model, "dim": self._dim, "count": len(answers), "tokens": tokens}, (blob,))


def _session(path: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its messages may quote input
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _pooled(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of token vectors [tokens, dim] float32 → [dim] float32 of unit length."""
    mean = vectors.mean(axis=0, dtype=np.float32)
    return np.asarray(mean / np.sqrt(np.dot(mean, mean)), dtype=np.float32)
