"""Run by Ollama's own Python client in an environment of its own: a chat, whole and streamed, told as JSON."""

import json
import os

import ollama

client = ollama.Client(host=os.environ["URL"], headers={"Authorization": "Bearer " + os.environ["KEY"]})
ask = {"model": "mesh/auto", "messages": [{"role": "user", "content": "hello"}]}
told = {"whole": client.chat(**ask).message.content}
parts = list(client.chat(**ask, stream=True))
told["streamed"] = "".join(part.message.content for part in parts)
told["done"] = [parts[-1].done, parts[-1].done_reason, parts[-1].eval_count]
told["generated"] = client.generate(model="mesh/auto", prompt="once", options={"num_predict": 8}).response
print(json.dumps(told))
