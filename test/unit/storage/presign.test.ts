import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { s3Client } from '../../../lambdas/clients/s3.ts';
import { presignParts } from '../../../lambdas/storage/presign.ts';
import type { UploadRecord } from '../../../lambdas/upload/record.ts';

const MiB = 1024 * 1024;
const upload: UploadRecord & { s3UploadId: string } = {
  owner: 'alice',
  uploadId: '0'.repeat(32),
  attempt: '0mws0000000000',
  run: 1,
  mode: 'presigned',
  status: 'uploading',
  fileName: 'a.mp4',
  contentType: 'video/mp4',
  totalSize: 6 * MiB,
  pieceSize: 5 * MiB,
  fullPages: new Set(),
  createdAt: 0,
  expiresAt: 1,
  ttl: 2,
  s3UploadId: 'id',
};

const names = ['AWS_REGION', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_ENDPOINT_URL'];
const before = new Map(names.map((name) => [name, process.env[name]]));
beforeEach(() => {
  Object.assign(process.env, {
    AWS_REGION: 'eu-west-1',
    AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'secret',
  });
  delete process.env['AWS_ENDPOINT_URL'];
});
afterEach(() => {
  for (const [name, value] of before) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

const urlOf = async (options: { accelerate?: boolean }): Promise<URL> => {
  const bucket = { client: s3Client(options), bucketName: 'videos' };
  const [part] = await presignParts(bucket, upload, [2], { now: Date.now(), expirySeconds: 60 });
  expect(part).toMatchObject({ partNumber: 2, size: MiB });
  return new URL(part?.url ?? '');
};

test.each([
  ['plain', {}, 'videos.s3.eu-west-1.amazonaws.com'],
  ['accelerated', { accelerate: true }, 'videos.s3-accelerate.amazonaws.com'],
])(
  '%s: a URL leads to S3, is for one part of one length, and asks for no checksum',
  async (_, options, host) => {
    const url = await urlOf(options);
    expect(url.host).toBe(host);
    expect(url.searchParams.get('partNumber')).toBe('2');
    expect(url.searchParams.get('X-Amz-SignedHeaders')).toBe('content-length;host');
    expect(url.search).not.toContain('checksum');
  },
);

test('where an endpoint is set, as on the local stack, an accelerated URL leads there', async () => {
  process.env['AWS_ENDPOINT_URL'] = 'http://127.0.0.1:1234';
  expect((await urlOf({ accelerate: true })).host).toMatch(/127\.0\.0\.1:1234$/);
});
