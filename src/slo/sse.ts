/**
 * The part of an event stream that JSON-RPC over HTTP uses: the `data` of each event. Fed with the bytes as they come, which
 * may be cut anywhere, also inside a character or between CR and LF.
 */
export class SseReader {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
  #rest = "";
  #data: string[] = [];

  /** Data of the events that these bytes complete. @throws TypeError when they are not UTF-8. */
  push(bytes: Uint8Array): string[] {
    const text = this.#rest + this.#decoder.decode(bytes, { stream: true });
    const done: string[] = [];
    let from = 0;
    // What was waiting holds no end of a line, but for a CR as its last character.
    let scan = Math.max(0, this.#rest.length - 1);
    for (;;) {
      const end = endOfLine(text, scan);
      if (end === null) break;
      const data = this.#line(text.slice(from, end.at));
      if (data !== null) done.push(data);
      from = end.next;
      scan = from;
    }
    this.#rest = text.slice(from);
    return done;
  }

  /** Takes one line; the data of the event that it ends, or null. */
  #line(line: string): string | null {
    if (line === "") {
      const data = this.#data.length > 0 ? this.#data.join("\n") : null;
      this.#data = [];
      return data;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    if (field === "data") this.#data.push(colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1));
    return null;
  }
}

/** Where the next line ends, looked for from `from`, or null while that is not known: a CR at the very end may have its LF to come. */
function endOfLine(text: string, from: number): { at: number; next: number } | null {
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\n") return { at, next: at + 1 };
    if (text[at] !== "\r") continue;
    if (at + 1 === text.length) return null;
    return { at, next: text[at + 1] === "\n" ? at + 2 : at + 1 };
  }
  return null;
}
