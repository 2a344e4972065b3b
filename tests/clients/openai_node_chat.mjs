// Run by OpenAI's own client for Node: a chat, whole and streamed, told as JSON.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.URL_V1, apiKey: process.env.KEY, maxRetries: 0 });
const ask = { model: "mesh/auto", messages: [{ role: "user", content: "hello" }] };
const told = { whole: (await client.chat.completions.create(ask)).choices[0].message.content, streamed: "" };
for await (const chunk of await client.chat.completions.create({ ...ask, stream: true })) {
  told.streamed += chunk.choices[0]?.delta?.content ?? "";
  told.usage = chunk.usage ?? told.usage;
}
const response = await client.responses.create({ model: "mesh/auto", input: "hi" });
told.responded = response.output_text;
console.log(JSON.stringify(told));
