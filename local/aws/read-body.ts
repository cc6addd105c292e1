import type { IncomingMessage } from 'node:http';

/** A request's whole body, or `too large` past the limit (the rest is let pass, so that the answer is heard). */
export const readBody = (req: IncomingMessage, maxBytes: number): Promise<Buffer | 'too large'> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= maxBytes) chunks.push(chunk);
    });
    req.on('end', () => resolve(bytes > maxBytes ? 'too large' : Buffer.concat(chunks)));
    req.on('error', reject);
    req.on('close', () => {
      if (!req.readableEnded) reject(new Error('the connection ended within the request'));
    });
  });
