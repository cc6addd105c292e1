import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Clock } from '../types.ts';
import { type Answer, emptyAnswer, isoDate, type OperationContext, owner, xmlAnswer } from './answer.ts';
import { openBlobStore } from './blobs.ts';
import type { BucketOptions } from './bucket.ts';
import { answerHeaders, preflightHeaders } from './cors.ts';
import { S3Error } from './errors.ts';
import { abortDue, expiryDue } from './lifecycle.ts';
import { type BucketRecord, openMetadata } from './metadata.ts';
import { abortMultipartUpload, createMultipartUpload, uploadPart, uploadPartCopy } from './multipart.ts';
import { completeMultipartUpload, s3MinPartSize } from './multipart-completion.ts';
import { listMultipartUploads, listParts } from './multipart-listings.ts';
import { getObject, listObjectsV2 } from './object-reads.ts';
import { copyObject, deleteObject, deleteObjects, putObject } from './object-writes.ts';
import { type S3Operation, s3Operation } from './operation.ts';
import { readRequest, type S3Request } from './request.ts';
import { errorDocument } from './xml.ts';

/** An S3 behind the local AWS endpoint: ours on disk, or another one that requests are forwarded to. */
export interface S3Engine {
  /**
   * Serves one path-style request that is authenticated and authorised already; parameters of a signature are
   * ignored. Resolves when the answer is sent or the connection is gone.
   */
  handle(req: IncomingMessage, res: ServerResponse): Promise<void>;
  /** Makes the bucket, or gives it new options. */
  createBucket(name: string, options?: BucketOptions): void | Promise<void>;
  close(): void | Promise<void>;
}

export interface DiskS3Engine extends S3Engine {
  createBucket(name: string, options?: BucketOptions): void;
  /** Carries out the buckets' lifecycle rules as of the clock's time. S3 does so about once a day. */
  applyLifecycle(): Promise<{ readonly abortedUploads: number; readonly expiredObjects: number }>;
  close(): void;
}

/**
 * A small, strict S3: metadata in SQLite, bytes in files, both under `dir`. Survives the death of its process at
 * any moment: what was acknowledged is there, what was not leaves nothing behind.
 *
 * Errors are S3's own documents. What it does not implement answers 501 NotImplemented.
 */
export function createS3Engine({
  dir,
  clock,
  minPartSize = s3MinPartSize,
}: {
  readonly dir: string;
  readonly clock: Clock;
  /**
   * For tests that count requests: 10,000 parts of a byte cost what 10,000 of 5 MiB do. S3 has no such option.
   * @default 5242880 (5 MiB), S3's own
   */
  readonly minPartSize?: number;
}): DiskS3Engine {
  mkdirSync(dir, { recursive: true });
  const metadata = openMetadata(join(dir, 'metadata.sqlite'));
  const blobs = openBlobStore(dir, metadata.isReferenced);

  const operations: Record<
    Exclude<S3Operation, 'ListBuckets' | 'Preflight'>,
    (context: OperationContext) => Answer | Promise<Answer>
  > = {
    HeadBucket: () => emptyAnswer(200),
    GetBucketLocation: () => xmlAnswer('LocationConstraint', {}),
    GetBucketCors: getBucketCors,
    ListObjectsV2: listObjectsV2,
    ListMultipartUploads: listMultipartUploads,
    DeleteObjects: deleteObjects,
    GetObject: getObject,
    HeadObject: getObject,
    PutObject: putObject,
    CopyObject: copyObject,
    DeleteObject: deleteObject,
    CreateMultipartUpload: createMultipartUpload,
    UploadPart: uploadPart,
    UploadPartCopy: uploadPartCopy,
    CompleteMultipartUpload: completeMultipartUpload,
    AbortMultipartUpload: abortMultipartUpload,
    ListParts: listParts,
  };

  function answer(request: S3Request, bucket: BucketRecord | undefined): Answer | Promise<Answer> {
    const operation = s3Operation({
      ...request,
      isCopy: request.header('x-amz-copy-source') !== undefined,
    });
    if (operation === undefined) {
      throw new S3Error('NotImplemented', 'This operation is not implemented by the local S3.');
    }
    if (operation === 'ListBuckets') {
      return xmlAnswer('ListAllMyBucketsResult', {
        Owner: owner,
        Buckets: {
          Bucket: metadata
            .buckets()
            .map(({ name, createdAt }) => ({ Name: name, CreationDate: isoDate(createdAt) })),
        },
      });
    }
    if (bucket === undefined) {
      throw new S3Error('NoSuchBucket', undefined, { BucketName: request.bucket });
    }
    if (operation === 'Preflight') {
      const headers = preflightHeaders(bucket.options.corsRules ?? [], {
        origin: request.header('origin'),
        method: request.header('access-control-request-method'),
        headers: request.header('access-control-request-headers'),
      });
      return emptyAnswer(200, headers);
    }
    return operations[operation]({ request, bucket, metadata, blobs, clock, minPartSize });
  }

  return {
    async handle(req, res) {
      const requestId = randomBytes(8).toString('hex').toUpperCase();
      const hostId = randomBytes(48).toString('base64');
      res.setHeader('x-amz-request-id', requestId);
      res.setHeader('x-amz-id-2', hostId);
      res.setHeader('server', 'AmazonS3');
      try {
        const request = readRequest(req);
        const bucket = request.bucket === '' ? undefined : metadata.bucket(request.bucket);
        if (bucket !== undefined && req.method !== 'OPTIONS') {
          const cors = answerHeaders(bucket.options.corsRules ?? [], req.headers.origin, req.method ?? 'GET');
          for (const [name, value] of Object.entries(cors)) res.setHeader(name, value);
        }
        await send(res, await answer(request, bucket));
      } catch (error) {
        // Whoever cut the connection waits for no answer.
        if (req.socket.destroyed || res.destroyed) return;
        if (res.headersSent) {
          res.destroy(error instanceof Error ? error : undefined);
          return;
        }
        await sendError(req, res, error, requestId, hostId);
      }
    },

    createBucket(name, options = {}) {
      metadata.putBucket(name, clock.now(), options);
    },

    async applyLifecycle() {
      const now = clock.now();
      const removed: string[] = [];
      let abortedUploads = 0;
      let expiredObjects = 0;
      metadata.transaction(() => {
        for (const { name, options } of metadata.buckets()) {
          const rules = options.lifecycle ?? [];
          const isDue = (due: { readonly at: number } | undefined): boolean =>
            due !== undefined && due.at <= now;
          for (const upload of metadata.uploads(name)) {
            if (!isDue(abortDue(rules, upload.key, upload.initiatedAt))) continue;
            removed.push(...metadata.deleteUpload(upload.id));
            abortedUploads++;
          }
          if (!rules.some((rule) => rule.expirationDays !== undefined)) continue;
          let after = '';
          for (;;) {
            const page = metadata.objectsFrom(name, after, false, 1000);
            for (const object of page) {
              if (!isDue(expiryDue(rules, object.key, object.modifiedAt))) continue;
              removed.push(...metadata.deleteObject(name, object.key));
              expiredObjects++;
            }
            const last = page.at(-1);
            if (last === undefined) break;
            after = last.key;
          }
        }
      });
      await blobs.remove(removed);
      return { abortedUploads, expiredObjects };
    },

    close: () => metadata.close(),
  };
}

function getBucketCors({ bucket }: OperationContext): Answer {
  const rules = bucket.options.corsRules ?? [];
  if (rules.length === 0) {
    throw new S3Error('NoSuchCORSConfiguration', undefined, { BucketName: bucket.name });
  }
  return xmlAnswer('CORSConfiguration', {
    CORSRule: rules.map((rule) => ({
      ID: rule.id,
      AllowedOrigin: rule.allowedOrigins,
      AllowedMethod: rule.allowedMethods,
      AllowedHeader: rule.allowedHeaders,
      ExposeHeader: rule.exposedHeaders,
      MaxAgeSeconds: rule.maxAge,
    })),
  });
}

async function send(res: ServerResponse, answer: Answer): Promise<void> {
  const { status, headers, body } = answer;
  const fixed = typeof body === 'object' ? undefined : (body ?? '');
  res.writeHead(status, {
    // 204 and 304 have no body and so no length; an answer to HEAD brings its own.
    ...(fixed === undefined || status === 204 || status === 304
      ? {}
      : { 'content-length': String(Buffer.byteLength(fixed)) }),
    ...headers,
  });
  if (typeof body === 'object') {
    await pipeline(Readable.from(body, { objectMode: false, highWaterMark: 1024 * 1024 }), res);
  } else {
    res.end(fixed);
  }
}

async function sendError(
  req: IncomingMessage,
  res: ServerResponse,
  error: unknown,
  requestId: string,
  hostId: string,
): Promise<void> {
  const known = error instanceof S3Error;
  if (!known) process.emitWarning(error instanceof Error ? error : String(error));
  const shown = known ? error : new S3Error('InternalError');
  const document = errorDocument({
    Code: shown.name,
    Message: shown.message,
    ...shown.details,
    Resource: (req.url ?? '/').split('?', 1)[0],
    RequestId: requestId,
    HostId: hostId,
  });
  await send(res, {
    status: shown.status,
    headers: {
      ...(shown.status === 304 || req.method === 'HEAD' ? {} : { 'content-type': 'application/xml' }),
    },
    ...(req.method === 'HEAD' ? {} : { body: document }),
  });
}
