// Follows a stream with the `eventsource` package and prints each event as a line.
import { EventSource } from "eventsource";

const source = new EventSource(process.argv[2]);
for (const name of ["message", "gap"]) {
  source.addEventListener(name, (event) => console.log(JSON.stringify({ name, data: JSON.parse(event.data) })));
}
source.addEventListener("open", () => console.log(JSON.stringify({ name: "open" })));
