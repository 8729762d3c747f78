// Server-sent events, parsed by hand (HTML standard, section 9.2.6): EventSource cannot POST.

/** Turns pieces of a stream into the data of its events, wherever the pieces were cut. */
export class EventParser {
  #rest = "";
  #data = [];

  /** The data of each event that this piece completes. */
  feed(piece) {
    const text = this.#rest + piece;
    // A carriage return at the end may be half of a line's end.
    const end = text.endsWith("\r") ? text.length - 1 : text.length;
    const lines = text.slice(0, end).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() + text.slice(end);
    const events = [];
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length) events.push(this.#data.join("\n"));
        this.#data = [];
      } else if (line.startsWith("data:")) {
        this.#data.push(line.slice(line[5] === " " ? 6 : 5));
      }
    }
    return events;
  }
}
