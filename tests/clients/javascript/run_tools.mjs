// openai's runTools: two rounds of calls, which it runs by itself, and an answer.
// usage: node run_tools.mjs URL MODEL true|false      the last: whether to stream
import OpenAI from "openai";

const [url, model, streamed] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: "unused", maxRetries: 0 });
let numCalled = 0;

function tool(name, description, argument, run) {
  const properties = { [argument]: { type: "string" } };
  const parameters = { type: "object", properties, required: [argument], additionalProperties: false };
  const counted = (given) => {
    if (typeof given[argument] !== "string") throw new Error(`${name} got ${JSON.stringify(given)}`);
    numCalled += 1;
    return run(given[argument]);
  };
  return { type: "function", function: { name, description, parameters, parse: JSON.parse, function: counted } };
}

const tools = [
  tool("city_of", "The city where a person lives.", "person", () => "Paris"),
  tool("weather_in", "The weather in a city right now.", "city", (city) => `17 degrees in ${city}`),
];
const asked = {
  model,
  messages: [{ role: "user", content: "What is the weather in the city where Ann lives?" }],
  tools,
  tool_choice: "required", // in every round: so it ends by the number of rounds
  temperature: 0,
  max_tokens: 96,
  stream: streamed === "true",
};
let numSteps = 0;
const runner = client.chat.completions.runTools(asked, { maxChatCompletions: 2 });
runner.on("chatCompletion", () => (numSteps += 1));
await runner.done();
const messages = runner.messages;

const plain = tools.map(({ type, function: { name, description, parameters } }) => ({
  type,
  function: { name, description, parameters },
}));
const last = await client.chat.completions.create({
  ...{ model, messages, tools: plain, tool_choice: "none", temperature: 0, max_tokens: 48 },
});
const answer = last.choices[0].message.content;
console.log(JSON.stringify({ messages, num_steps: numSteps, num_called: numCalled, answer }));
