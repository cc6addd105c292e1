import { describe, expect, test } from '@jest/globals';
import { GiB, MiB } from '../../../lambdas/parts/geometry.ts';
import { checkChunks, checkFile, largestFile, mediaType } from '../../../lambdas/upload/policy.ts';
import { understandChunk } from '../../../lambdas/upload/proxied.ts';
import type { UploadSettings } from '../../../lambdas/upload/settings.ts';

const settings: UploadSettings = {
  minFileSize: 1,
  maxFileSize: 10 * GiB,
  allowedContentTypes: [],
  allowedExtensions: [],
  partSize: 16 * MiB,
  urlExpirySeconds: 3600,
  abandonAfterSeconds: 86_400,
  maxAgeSeconds: 604_800,
  keepRecordSeconds: 604_800,
  accelerate: false,
};
const file = { fileName: 'a.mp4', totalSize: 100, contentType: 'video/mp4' };
const problem = (name: string) => expect.objectContaining({ problem: name });

describe('a file', () => {
  test('is never larger than what its owner may have in progress', () => {
    const narrow = { ...settings, maxBytesPerOwner: 99 };
    expect(largestFile(narrow)).toBe(99);
    expect(() => checkFile(file, narrow)).toThrow(problem('file-too-large'));
    expect(largestFile(settings)).toBe(10 * GiB);
  });

  test('is taken when it is within what the deployer allows', () => {
    const narrow = { ...settings, allowedContentTypes: ['video/*'], allowedExtensions: ['.mp4'] };
    expect(() => checkFile(file, narrow)).not.toThrow();
    expect(() =>
      checkFile({ ...file, fileName: 'B.MP4', contentType: 'Video/WebM; codecs=vp9' }, narrow),
    ).not.toThrow();
  });

  test.each([
    ['empty-file', { ...file, totalSize: 0 }, settings],
    ['file-too-small', file, { ...settings, minFileSize: 101 }],
    ['file-too-large', file, { ...settings, maxFileSize: 99 }],
    [
      'file-too-large',
      { ...file, totalSize: 2 ** 50 },
      { ...settings, maxFileSize: Number.MAX_SAFE_INTEGER },
    ],
    ['invalid-file-name', { ...file, fileName: 'a\0.mp4' }, settings],
    ['invalid-file-name', { ...file, fileName: '\ud800.mp4' }, settings],
    ['content-type-not-allowed', file, { ...settings, allowedContentTypes: ['video/webm', 'audio/*'] }],
    [
      'content-type-not-allowed',
      { ...file, contentType: '' },
      { ...settings, allowedContentTypes: ['video/*'] },
    ],
    ['content-type-not-allowed', { ...file, contentType: 'video' }, settings],
    [
      'content-type-not-allowed',
      { ...file, contentType: 'videox/mp4' },
      { ...settings, allowedContentTypes: ['video/*'] },
    ],
    ['file-extension-not-allowed', file, { ...settings, allowedExtensions: ['.mov'] }],
    [
      'file-extension-not-allowed',
      { ...file, fileName: 'mp4' },
      { ...settings, allowedExtensions: ['.mp4'] },
    ],
  ])('is refused as %s', (name, announced, chosen) => {
    expect(() => checkFile(announced, chosen)).toThrow(problem(name));
  });

  test('without a type is stored as bytes', () => {
    expect(mediaType('')).toBe('application/octet-stream');
    expect(mediaType(' Video/MP4 ; x=y')).toBe('video/mp4');
    expect(() => mediaType('a/b\r\nx: y')).toThrow(problem('content-type-not-allowed'));
  });
});

describe('chunks', () => {
  test('of 64 KiB to 4.25 MiB are taken, up to a million of them', () => {
    for (const [totalSize, pieceSize] of [
      [100 * MiB, 64 * 1024],
      [100 * MiB, 4.25 * MiB],
      [1_000_000 * MiB, MiB],
      [10, 100 * MiB],
      [10, 10],
    ] as const)
      expect(() => checkChunks({ totalSize, pieceSize })).not.toThrow();
  });

  test('are refused where Lambda or the bill would not take them', () => {
    for (const [totalSize, pieceSize] of [
      [100 * MiB, 64 * 1024 - 1],
      [100 * MiB, 4.25 * MiB + 1],
      [100 * MiB, 8 * MiB],
      [1_000_000 * MiB + 1, MiB],
      [10, 1],
    ] as const)
      expect(() => checkChunks({ totalSize, pieceSize })).toThrow(problem('chunk-size-not-supported'));
  });

  test('that fit no place in their file are refused', () => {
    const parameters = {
      chunkNumber: 3,
      chunkSize: MiB,
      currentChunkSize: MiB,
      totalSize: 3 * MiB - 1,
      identifier: 'x',
      fileName: 'a.mp4',
      type: '',
    };
    expect(() => understandChunk(parameters, 'alice', settings)).toThrow(problem('chunk-length-mismatch'));
    expect(understandChunk({ ...parameters, currentChunkSize: MiB - 1 }, 'alice', settings)).toMatchObject({
      first: 3,
      last: 3,
    });
  });
});
