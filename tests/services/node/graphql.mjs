// Follows a stream with npm's `graphql-ws` or `graphql-sse`, goes on where it was after a cut, and prints each result.
import { createClient as socket } from "graphql-ws";
import { createClient as events } from "graphql-sse";
import WebSocket from "ws";

const [protocol, url] = process.argv.slice(2);
const client =
  protocol === "ws"
    ? socket({ url: url.replace("http", "ws"), webSocketImpl: WebSocket, retryAttempts: 0 })
    : events({ url, retryAttempts: 0 });
const query = 'subscription Follow($after: String, $from: String) { numbers(key: ["mine"], after: $after, from: $from) { value } }';

let variables = { from: "oldest" };
for (;;) {
  try {
    for await (const { data, errors, extensions } of client.iterate({ query, variables })) {
      if (errors) throw errors;
      const gap = extensions.gap;
      console.log(JSON.stringify(gap ? { name: "gap" } : { name: "message", data: data.numbers.value }));
      variables = { after: gap ? gap.to : extensions.position };
    }
  } catch {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
