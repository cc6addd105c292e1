import { S3Error } from './errors.ts';

/** Every chunk but the last has this size at least: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html */
const minChunkSize = 8192;
/** A chunk's header line or a trailer; far above what signatures and checksums take. */
const maxLineLength = 16_384;

/**
 * Takes the `aws-chunked` framing off a body: `<hex size>[;chunk-signature=…]\r\n<bytes>\r\n`, ending with a
 * chunk of size 0 and trailers. Chunk signatures are not checked: who sent the request is known already.
 *
 * @param trailers receives the trailers, names in lower case, once the generator has ended.
 * @throws S3Error IncompleteBody, MalformedTrailerError or InvalidChunkSizeError.
 */
export async function* decodeAwsChunked(
  body: AsyncIterable<Buffer>,
  trailers: Map<string, string>,
): AsyncGenerator<Buffer> {
  let line = '';
  let remaining = 0;
  let lastSize: number | undefined;
  let state: 'size' | 'data' | 'data-end' | 'trailer' | 'done' = 'size';

  for await (const buffer of body) {
    let at = 0;
    while (at < buffer.length) {
      if (state === 'data') {
        const end = Math.min(buffer.length, at + remaining);
        yield buffer.subarray(at, end);
        remaining -= end - at;
        at = end;
        if (remaining === 0) state = 'data-end';
        continue;
      }
      const newline = buffer.indexOf(0x0a, at);
      line += buffer.toString('latin1', at, newline === -1 ? buffer.length : newline);
      if (line.length > maxLineLength) throw new S3Error('IncompleteBody');
      if (newline === -1) break;
      at = newline + 1;
      const text = line.endsWith('\r') ? line.slice(0, -1) : line;
      line = '';
      switch (state) {
        case 'size': {
          const size = /^([0-9a-f]{1,12})(?:;|$)/i.exec(text)?.[1];
          if (size === undefined) throw new S3Error('IncompleteBody');
          remaining = Number.parseInt(size, 16);
          if (remaining > 0 && lastSize !== undefined && lastSize < minChunkSize) {
            throw new S3Error('InvalidChunkSizeError');
          }
          lastSize = remaining;
          state = remaining === 0 ? 'trailer' : 'data';
          break;
        }
        case 'data-end':
          if (text !== '') throw new S3Error('IncompleteBody');
          state = 'size';
          break;
        case 'trailer': {
          if (text === '') {
            state = 'done';
            break;
          }
          const colon = text.indexOf(':');
          if (colon < 1) throw new S3Error('MalformedTrailerError');
          trailers.set(text.slice(0, colon).trim().toLowerCase(), text.slice(colon + 1).trim());
          break;
        }
        case 'done':
          throw new S3Error('MalformedTrailerError');
      }
    }
  }
  if (state !== 'trailer' && state !== 'done') throw new S3Error('IncompleteBody');
  if (line !== '') throw new S3Error('MalformedTrailerError');
}
