import { createHash } from 'node:crypto';
import { decodeAwsChunked } from './aws-chunked.ts';
import type { BlobStore } from './blobs.ts';
import {
  type ChecksumAlgorithm,
  type ChecksumValues,
  checksumAlgorithms,
  checksumHeader,
  createHasher,
  isChecksumAlgorithm,
  isChecksumValue,
} from './checksums.ts';
import { invalidRequest, S3Error } from './errors.ts';
import type { S3Request } from './request.ts';

/** The largest part, and the largest object of one PutObject: 5 GiB. */
const maxBodySize = 5 * 1024 ** 3;

/** A body that is on disk and was checked against all that the request said of it. */
export interface ReceivedBody {
  readonly blob: string;
  readonly size: number;
  /** Hex. */
  readonly md5: string;
  /** Of the algorithms asked for, and of the one that the request carried. */
  readonly checksums: ChecksumValues;
  /** The algorithm that the request carried a checksum of. */
  readonly sent: ChecksumAlgorithm | undefined;
}

/** What a request declares about its body, read before the first byte. */
interface Declared {
  readonly size: number | undefined;
  readonly contentMd5: string | undefined;
  readonly sha256: string | undefined;
  /** The body is in `aws-chunked` framing. */
  readonly framed: boolean;
  readonly checksum:
    | { readonly algorithm: ChecksumAlgorithm; readonly value: string | undefined /* in the trailer */ }
    | undefined;
}

/** The checksum algorithm that a request carries a value of, in a header or as a trailer. */
export function sentChecksum(request: S3Request): Declared['checksum'] {
  const inHeaders = checksumAlgorithms.filter((name) => request.header(checksumHeader(name)) !== undefined);
  const [algorithm, another] = inHeaders;
  if (another !== undefined) {
    throw invalidRequest(
      'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.',
    );
  }
  const trailer = request.header('x-amz-trailer')?.trim().toLowerCase();
  if (algorithm === undefined) {
    if (trailer === undefined) {
      if (request.header('x-amz-sdk-checksum-algorithm') !== undefined) {
        throw invalidRequest(
          'x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.',
        );
      }
      return undefined;
    }
    const announced = checksumAlgorithms.find((name) => checksumHeader(name) === trailer);
    if (announced === undefined) {
      throw invalidRequest('The value specified in the x-amz-trailer header is not supported');
    }
    return { algorithm: announced, value: undefined };
  }
  const value = request.header(checksumHeader(algorithm)) ?? '';
  if (!isChecksumValue(algorithm, value)) {
    throw invalidRequest(`Value for ${checksumHeader(algorithm)} header is invalid.`);
  }
  return { algorithm, value };
}

function declared(request: S3Request, hasChecksum = true): Declared {
  const contentSha = request.header('x-amz-content-sha256');
  const framed = contentSha?.startsWith('STREAMING-') ?? false;
  const length = request.header(framed ? 'x-amz-decoded-content-length' : 'content-length');
  if (length !== undefined && !/^\d{1,15}$/.test(length)) throw new S3Error('MissingContentLength');
  const contentMd5 = request.header('content-md5');
  if (contentMd5 !== undefined && Buffer.from(contentMd5, 'base64').length !== 16)
    throw new S3Error('InvalidDigest');
  return {
    size: length === undefined ? undefined : Number(length),
    contentMd5,
    sha256: contentSha !== undefined && /^[0-9a-f]{64}$/.test(contentSha) ? contentSha : undefined,
    framed,
    checksum: hasChecksum ? sentChecksum(request) : undefined,
  };
}

/**
 * Streams an object's or part's body to disk, hashing on the way. Nothing stays on disk if the connection is cut
 * or a check fails.
 *
 * @param wanted further checksum algorithms to compute.
 * @throws S3Error MissingContentLength, EntityTooLarge, IncompleteBody, BadDigest, XAmzContentSHA256Mismatch …
 */
export async function receiveBody(
  request: S3Request,
  blobs: BlobStore,
  wanted: readonly ChecksumAlgorithm[],
): Promise<ReceivedBody> {
  const expected = declared(request);
  if (expected.size === undefined) {
    // A length that comes only with the last chunk is another matter to S3 than no length at all.
    if (request.header('transfer-encoding') !== undefined && !expected.framed) {
      throw new S3Error('NotImplemented', undefined, { Header: 'Transfer-Encoding' });
    }
    throw new S3Error('MissingContentLength');
  }
  if (expected.size > maxBodySize) {
    throw new S3Error('EntityTooLarge', undefined, {
      ProposedSize: expected.size,
      MaxSizeAllowed: maxBodySize,
    });
  }
  const check = await bodyCheck(request, expected, wanted);
  const { blob, size } = await blobs.write(check.bytes());
  try {
    return { blob, size, ...check.finish(size) };
  } catch (error) {
    await blobs.remove([blob]);
    throw error;
  }
}

/**
 * A small body (an XML document) in memory, checked in the same way.
 *
 * @param checksumIsOf CompleteMultipartUpload's checksum headers are about the object, not about the document.
 */
export async function receiveDocument(
  request: S3Request,
  maxSize: number,
  checksumIsOf: 'document' | 'object',
): Promise<string> {
  const expected = declared(request, checksumIsOf === 'document');
  const check = await bodyCheck(request, expected, []);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of check.bytes()) {
    size += chunk.length;
    if (size > maxSize)
      throw new S3Error('MaxMessageLengthExceeded', undefined, { MaxMessageLengthBytes: maxSize });
    chunks.push(chunk);
  }
  check.finish(size);
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * The bytes of a body in `aws-chunked` framing. The last ones are held back until all checks have passed, so that
 * whoever waits for the announced length never gets a whole body that is wrong.
 */
export async function unframedBody(request: S3Request): Promise<AsyncGenerator<Buffer>> {
  const check = await bodyCheck(request, declared(request), []);
  const bytes = async function* (): AsyncGenerator<Buffer> {
    let held: Buffer | undefined;
    let size = 0;
    for await (const chunk of check.bytes()) {
      if (held !== undefined) yield held;
      held = chunk;
      size += chunk.length;
    }
    check.finish(size);
    if (held !== undefined) yield held;
  };
  return bytes();
}

async function bodyCheck(request: S3Request, expected: Declared, wanted: readonly ChecksumAlgorithm[]) {
  const trailers = new Map<string, string>();
  const algorithms = new Set(
    expected.checksum === undefined ? wanted : [...wanted, expected.checksum.algorithm],
  );
  const md5 = createHash('md5');
  const sha256 = expected.sha256 === undefined ? undefined : createHash('sha256');
  const hashers = await Promise.all(
    [...algorithms].map(async (algorithm) => ({ algorithm, hasher: await createHasher(algorithm) })),
  );

  return {
    async *bytes(): AsyncGenerator<Buffer> {
      const raw: AsyncIterable<Buffer> = request.body;
      for await (const chunk of expected.framed ? decodeAwsChunked(raw, trailers) : raw) {
        md5.update(chunk);
        sha256?.update(chunk);
        for (const { hasher } of hashers) hasher.update(chunk);
        yield chunk;
      }
    },

    finish(size: number): Pick<ReceivedBody, 'md5' | 'checksums' | 'sent'> {
      if (expected.size !== undefined && size !== expected.size) throw new S3Error('IncompleteBody');
      const digest = md5.digest();
      if (expected.contentMd5 !== undefined && digest.toString('base64') !== expected.contentMd5) {
        throw new S3Error('BadDigest', undefined, {
          ExpectedDigest: expected.contentMd5,
          CalculatedDigest: digest.toString('base64'),
        });
      }
      const computedSha256 = sha256?.digest('hex');
      if (computedSha256 !== expected.sha256) {
        throw new S3Error('XAmzContentSHA256Mismatch', undefined, {
          ClientComputedContentSHA256: expected.sha256 ?? '',
          S3ComputedContentSHA256: computedSha256 ?? '',
        });
      }
      const checksums: ChecksumValues = {};
      for (const { algorithm, hasher } of hashers) checksums[algorithm] = hasher.digest().toString('base64');
      const sent = expected.checksum;
      if (sent !== undefined) {
        const value = sent.value ?? trailers.get(checksumHeader(sent.algorithm));
        if (value === undefined) throw new S3Error('MalformedTrailerError');
        if (value !== checksums[sent.algorithm]) {
          throw new S3Error(
            'BadDigest',
            `The ${sent.algorithm} you specified did not match the calculated checksum.`,
          );
        }
      }
      return { md5: digest.toString('hex'), checksums, sent: sent?.algorithm };
    },
  };
}

/** The algorithm and type that CreateMultipartUpload or CopyObject declare. */
export function declaredAlgorithm(request: S3Request): ChecksumAlgorithm | undefined {
  const name = request.header('x-amz-checksum-algorithm')?.toUpperCase();
  if (name === undefined) return undefined;
  if (!isChecksumAlgorithm(name)) {
    throw invalidRequest(
      'Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]',
    );
  }
  return name;
}
