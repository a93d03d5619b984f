/** One server-sent event. */
export interface StreamEvent {
  id?: string;
  data: string;
}

/** Parses a server-sent event stream piece by piece (HTML standard, 9.2.6); comments and other fields are left out. */
export class EventStreamParser {
  #rest = '';
  #id: string | undefined;
  #data: string[] = [];

  push(text: string): StreamEvent[] {
    const events: StreamEvent[] = [];
    // A carriage return at the end may be the first half of a line end.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length > 0) events.push({ data: this.#data.join('\n'), ...(this.#id === undefined ? {} : { id: this.#id }) });
        this.#data = [];
        continue;
      }
      const colon = line.indexOf(':');
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'data') this.#data.push(value);
      else if (field === 'id') this.#id = value;
    }
    return events;
  }
}
