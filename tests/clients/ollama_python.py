"""Run by Ollama's own Python client in an environment of its own: what a program does first, told as JSON."""

import json
import os

import ollama

client = ollama.Client(host=os.environ["URL"], headers={"Authorization": "Bearer " + os.environ["KEY"]})
listed = client.list().models
told = {"models": [model.model for model in listed], "running": [one.model for one in client.ps().models]}
name = listed[0].model
shown = client.show(name)
told["capabilities"] = shown.capabilities
told["embeddings"] = client.embed(model=name, input=["a", "b"]).embeddings
told["old"] = client.embeddings(model="mesh/auto", prompt="a").embedding
told["long"] = len(client.embed(model=name, input="word " * 5000).embeddings)
refused = {}
for why, words in {
    "model": {"model": "llama3.2", "input": "a"},
    "long": {"model": name, "input": "word " * 5000, "truncate": False},
}.items():
    try:
        client.embed(**words)
    except ollama.ResponseError as error:
        refused[why] = [error.status_code, error.error]
try:
    ollama.Client(host=os.environ["URL"], headers={"Authorization": "Bearer wrong"}).list()
except ollama.ResponseError as error:
    refused["key"] = [error.status_code, error.error]
told["refused"] = refused
print(json.dumps(told))
