import { Agent, request } from 'node:http';
import { readFileSync } from 'node:fs';

interface CompletionBody {
  model: string;
  prompt: string | number[];
  max_tokens: number;
}

interface Usage {
  prompt_tokens: number;
  prompt_tokens_details?: { cached_tokens?: number } | null;
}

/** A client with connections that stay open; the same for every server that is measured. */
export class HttpClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  readonly #url: URL;

  constructor(url: string) {
    this.#url = new URL('/v1/completions', url);
  }

  /** Rejects for every status but 200. */
  complete(body: CompletionBody): Promise<Usage> {
    const text = JSON.stringify({ ...body, temperature: 0, ignore_eos: true });
    return new Promise((resolve, reject) => {
      const sent = request(
        this.#url,
        { method: 'POST', agent: this.#agent, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } },
        (response) => {
          let answer = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => (answer += chunk));
          response.on('error', reject);
          response.on('end', () => {
            if (response.statusCode === 200) resolve((JSON.parse(answer) as { usage: Usage }).usage);
            else reject(new Error(`HTTP ${response.statusCode}: ${answer.slice(0, 300)}`));
          });
        },
      );
      sent.on('error', reject);
      sent.end(text);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Seconds of processor time of a process and all its threads so far. */
export function processorSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // Fields 14 and 15 of proc(5), in ticks of 10 ms.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** `requests` requests, `concurrency` at a time: requests per second, and processor time of `pid` per request in milliseconds. */
export async function loadRate(
  client: HttpClient,
  { pid, concurrency, requests, body }: { pid: number; concurrency: number; requests: number; body: (index: number) => CompletionBody },
): Promise<{ perSecond: number; cpuMs: number }> {
  let next = 0;
  const cpu = processorSeconds(pid);
  const began = performance.now();
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next < requests) await client.complete(body(next++));
    }),
  );
  const seconds = (performance.now() - began) / 1000;
  return { perSecond: requests / seconds, cpuMs: ((processorSeconds(pid) - cpu) / requests) * 1000 };
}
