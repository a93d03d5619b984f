import { existsSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

/** Rejects unless a GET answers 200. */
export function httpProbe(url: string, tls: { ca?: string; cert?: string; key?: string } = {}): (signal: AbortSignal) => Promise<void> {
  return (signal) =>
    new Promise((resolve, reject) => {
      const get = url.startsWith('https:') ? https.get : http.get;
      const request = get(url, { ...tls, signal, agent: false }, (response) => {
        response.resume();
        if (response.statusCode === 200) resolve();
        else reject(new Error(`${url} answers ${response.statusCode}`));
      });
      request.on('error', reject);
    });
}

/** Rejects while the file does not exist: programs write it when they serve. */
export function fileProbe(file: string): (signal: AbortSignal) => Promise<void> {
  return async () => {
    if (!existsSync(file)) throw new Error(`${file} is not there yet`);
  };
}
