"""What the gaps of honest and of dishonest answers are when a checker replays them: where its threshold comes from.

Sixty prompts are answered greedily by the real default model as Mesh runs it (the checker's own way), and by the same
weights run differently: without flash attention, with a 32-bit cache, other batches and threads; honest devices differ
like that. Dishonest answers to the same prompts: sampled at two temperatures, cut to two thirds and said to be
finished, with one word replaced, and the answer to another prompt. Each is replayed by the checker's engine.

Run: `python benchmarks/chat_replay.py [--prompts 60] [--tokens 40]`

Touches: files (the model; a temporary folder), clock.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import xllamacpp

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from mesh.workloads import chat_engine  # noqa: E402
from mesh.workloads.catalogue import BUILTIN, CHAT_DEFAULT  # noqa: E402
from mesh.workloads.chat_engine import LlamaChat  # noqa: E402
from mesh.workloads.contract import Model, Payload, Piece, Stop  # noqa: E402
from mesh.workloads.replay import Replayed, judged  # noqa: E402
from modelfolder import shared_model_files  # noqa: E402

TOPICS = (
    "the sea", "bread", "a bicycle", "winter", "the moon", "a lighthouse", "rice", "trains", "a violin", "rain",
    "a garden", "chess", "coffee", "mountains", "a library",
)  # fmt: skip
ASKED = (
    "Write two sentences about {}.",
    "Explain {} to a child.",
    "Make a list of five words that go with {}.",
    "Tell a short story in which {} matters.",
)


def prompts(count: int) -> list[str]:
    """So many different prompts."""
    return [ASKED[at % len(ASKED)].format(TOPICS[at // len(ASKED) % len(TOPICS)]) for at in range(count)]


def opened(model: Model, **changed: Any) -> LlamaChat:
    """The engine, with some parameters otherwise than Mesh sets them."""
    usual = chat_engine._parameters

    def parameters(of: Model, lanes: int) -> Any:
        given = usual(of, lanes)
        for name, value in changed.items():
            if name == "n_threads":
                given.cpuparams.n_threads = given.cpuparams_batch.n_threads = value
            else:
                setattr(given, name, value)
        return given

    here = os.getcwd()
    chat_engine._parameters = parameters
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            return LlamaChat(model)
        finally:
            os.chdir(here)
            chat_engine._parameters = usual


def said(engine: LlamaChat, prompt: str, tokens: int, **settings: Any) -> dict[str, Any]:
    """What an engine answers."""
    manifest = {"messages": [{"role": "user", "content": prompt}], "max_tokens": tokens, "temperature": 0, **settings}
    return engine.work(0, [Piece(Payload(manifest), 1)], Stop(), lambda content: None)[0].manifest


def dishonest(kind: str, answers: list[dict[str, Any]], at: int, sampled: dict[str, Any]) -> dict[str, str]:
    """A made-up answer to the prompt at a place."""
    text = answers[at]["text"]
    if kind == "cut":
        return {"text": text[: len(text) * 2 // 3], "finish": "stop"}
    if kind == "one word":
        words = text.split(" ")
        words[len(words) // 2] = "paper"
        return {"text": " ".join(words), "finish": answers[at]["finish"]}
    if kind == "of another":
        other = answers[(at + 1) % len(answers)]
        return {"text": other["text"], "finish": other["finish"]}
    return {"text": sampled["text"], "finish": sampled["finish"]}


def main() -> None:
    """Answer, replay, print a line per kind: how many pass, and the largest and mean gaps."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    arguments.add_argument("--prompts", type=int, default=60)
    arguments.add_argument("--tokens", type=int, default=40)
    given = arguments.parse_args()
    entry = BUILTIN.entry("chat", CHAT_DEFAULT)
    files = {file.name: str(shared_model_files().path(file)) for file in entry.files}
    model = Model(CHAT_DEFAULT, files, {**entry.settings, "context_tokens": 1024})
    checker = opened(model)
    asked = prompts(given.prompts)
    began = time.perf_counter()
    answers = [said(checker, prompt, given.tokens) for prompt in asked]
    wrote_s = time.perf_counter() - began
    none = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    others: dict[str, list[dict[str, Any]]] = {"as Mesh runs it": answers}
    for name, changed in (
        ("without flash attention", {"flash_attn_type": none}),
        ("32-bit cache", {"cache_type_k": xllamacpp.ggml_type.GGML_TYPE_F32, "flash_attn_type": none}),
        ("batches of 16, two threads", {"n_batch": 16, "n_ubatch": 16, "n_threads": 2}),
    ):
        engine = opened(model, **changed)
        others[name] = [said(engine, prompt, given.tokens) for prompt in asked]
        del engine
    kinds: dict[str, list[dict[str, str]]] = {
        f"honest: {name}": [{"text": one["text"], "finish": one["finish"]} for one in made]
        for name, made in others.items()
    }
    for heat in (0.3, 0.8):
        sampled = [said(checker, prompt, given.tokens, temperature=heat, seed=7) for prompt in asked]
        kinds[f"sampled at {heat}"] = [dishonest("sampled", answers, at, one) for at, one in enumerate(sampled)]
    for kind in ("cut", "one word", "of another"):
        kinds[kind] = [dishonest(kind, answers, at, {}) for at in range(len(asked))]
    for kind, claims in kinds.items():
        same = sum(claim["text"] == answer["text"] for claim, answer in zip(claims, answers, strict=True))
        began = time.perf_counter()
        found = [
            Replayed(**said(checker, prompt, given.tokens, replay=claim)["replayed"])
            for prompt, claim in zip(asked, claims, strict=True)
        ]
        print(
            json.dumps(
                {
                    "kind": kind,
                    "prompts": len(found),
                    "same_text": same,
                    "found": Counter(judged(one, alike=True) for one in found),
                    "found_elsewhere": Counter(judged(one, alike=False) for one in found),
                    "gap_max": [round(one, 3) for one in sorted(one.gap_max for one in found)[-3:]],
                    "gap_max_least": [round(one, 3) for one in sorted(one.gap_max for one in found)[:3]],
                    "gap_mean": [round(one, 4) for one in sorted(one.gap_mean for one in found)[-3:]],
                    "gap_mean_least": [round(one, 4) for one in sorted(one.gap_mean for one in found)[:3]],
                    "replay_s": round(time.perf_counter() - began, 1),
                    "writing_s": round(wrote_s, 1),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
