"""Run by Ollama's own Python client in an environment of its own: chats with a real model, told as JSON."""

import json
import os

import ollama

MODEL = "mesh/auto"
QUESTION = {"role": "user", "content": "What is a harbour?"}
STILL = {"temperature": 0, "num_predict": 24}
client = ollama.Client(host=os.environ["URL"], headers={"Authorization": "Bearer " + os.environ["KEY"]})


def counts(part):
    """What an answer's end says of it."""
    return {"done": part.done, "reason": part.done_reason, "asked": part.prompt_eval_count, "made": part.eval_count}


whole = client.chat(model=MODEL, messages=[QUESTION], options=STILL)
parts = list(client.chat(model=MODEL, messages=[QUESTION], options=STILL, stream=True))
generated = client.generate(model=MODEL, prompt=QUESTION["content"], options=STILL)
lines = list(client.generate(model=MODEL, prompt=QUESTION["content"], options=STILL, stream=True))
stop = os.environ["STOP"]
stopped = client.chat(model=MODEL, messages=[QUESTION], options={**STILL, "stop": [stop]})
schema = {"type": "object", "properties": {"wet": {"type": "boolean"}}, "required": ["wet"]}
as_json = client.chat(model=MODEL, messages=[QUESTION], options={"temperature": 0, "num_predict": 60}, format=schema)
history = [{"role": "user", "content": "7" * 4500}, {"role": "assistant", "content": "I see."}]
trimmed = client.chat(model=MODEL, messages=[*history, QUESTION], options={"temperature": 0, "num_predict": 4})
try:
    client.generate(model=MODEL, prompt="7" * 4500)
    refused = None
except ollama.ResponseError as error:
    refused = [error.status_code, error.error]
print(
    json.dumps(
        {
            "whole": whole.message.content,
            "counts": [counts(one) for one in (whole, parts[-1], generated, lines[-1])],
            "streamed": "".join(part.message.content for part in parts),
            "pieces": len(parts),
            "generated": generated.response,
            "lines": "".join(line.response for line in lines),
            "stopped": [stopped.message.content, stopped.done_reason],
            "json": as_json.message.content,
            "trimmed": counts(trimmed),
            "refused": refused,
        }
    )
)
