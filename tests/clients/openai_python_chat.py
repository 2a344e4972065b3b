"""Run by OpenAI's own Python client in an environment of its own: a chat, whole and streamed, told as JSON."""

import json
import os

import openai

ASK = {"model": "mesh/auto", "messages": [{"role": "user", "content": "hello"}]}
with openai.OpenAI(base_url=os.environ["URL"] + "/v1", api_key=os.environ["KEY"], max_retries=0) as client:
    told = {"whole": client.chat.completions.create(**ASK).choices[0].message.content}
    stream = client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    told["streamed"] = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    told["usage"] = chunks[-1].usage.model_dump()
    told["completed"] = client.completions.create(model="mesh/auto", prompt="once").choices[0].text
    told["responded"] = client.responses.create(model="mesh/auto", input="hi").output_text
print(json.dumps(told))
