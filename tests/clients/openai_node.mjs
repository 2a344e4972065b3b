// Run by OpenAI's own client for Node: what a program does first, told as JSON.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.URL_V1, apiKey: process.env.KEY, maxRetries: 0 });
const told = { models: [], refused: {} };
for await (const model of client.models.list()) told.models.push(model.id);
const { data, response } = await client.embeddings.create({ model: "mesh/auto", input: ["a", "b"] }).withResponse();
told.embeddings = data.data.map((one) => one.embedding);
told.device = response.headers.get("x-mesh-device");
for (const [why, body] of [
  ["model", { model: "gpt-4o", input: "a" }],
  ["empty", { model: "mesh/auto", input: [] }],
]) {
  try {
    await client.embeddings.create(body);
  } catch (error) {
    told.refused[why] = [error.constructor.name, error.status, error.code];
  }
}
try {
  await new OpenAI({ baseURL: process.env.URL_V1, apiKey: "wrong", maxRetries: 0 }).models.list();
} catch (error) {
  told.refused.key = [error.constructor.name, error.status, error.code];
}
console.log(JSON.stringify(told));
