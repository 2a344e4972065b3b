"""Run by OpenAI's own Python client in an environment of its own: what a program does first, told as JSON."""

import json
import os

import openai

with openai.OpenAI(base_url=os.environ["URL"] + "/v1", api_key=os.environ["KEY"], max_retries=0) as client:
    told = {"version": openai.__version__, "models": [model.id for model in client.models.list()]}
    told["model"] = client.models.retrieve("mesh/auto").id
    raw = client.embeddings.with_raw_response.create(model="mesh/auto", input=["a", "b"])
    told["embeddings"] = [one.embedding for one in raw.parse().data]
    told["headers"] = {name: value for name, value in raw.headers.items() if name.startswith("x-mesh-")}
    floats = client.embeddings.create(model="mesh/auto", input="a", encoding_format="float")
    told["floats"] = floats.data[0].embedding
    told["tokens"] = floats.usage.total_tokens
    refused = {}
    for name, words in {
        "model": {"model": "gpt-4o", "input": "a"},
        "dimensions": {"model": "mesh/auto", "input": "a", "dimensions": 3},
        "tokens": {"model": "mesh/auto", "input": [1, 2, 3]},
    }.items():
        try:
            client.embeddings.create(**words)
        except openai.APIStatusError as error:
            refused[name] = [type(error).__name__, error.status_code, error.code]
    told["refused"] = refused
with openai.OpenAI(base_url=os.environ["URL"] + "/v1", api_key="wrong", max_retries=0) as client:
    try:
        client.models.list()
    except openai.AuthenticationError as error:
        told["wrong key"] = [error.status_code, error.code]
print(json.dumps(told))
