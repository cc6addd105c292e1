import type { KnownDifference } from './case.ts';

const api = (name: string): string => `https://docs.aws.amazon.com/AmazonS3/latest/API/API_${name}.html`;
const guide = (page: string): string => `https://docs.aws.amazon.com/AmazonS3/latest/userguide/${page}.html`;
const errors = 'https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html';

/** Where Ceph 16.2 answers otherwise than AWS documents. One engine never defines S3's behaviour: AWS's pages do. */
export const cephDifferences: readonly KnownDifference[] = [
  {
    case: 'GetBucketLocation names the region, and us-east-1 by nothing',
    judge: api('GetBucketLocation'),
    // The name of its zone group.
    observed: { status: 200, isRegion: false },
  },
  {
    case: 'a key of 1,024 bytes is stored, one of 1,025 is refused',
    judge: errors,
    observed: { longest: 200, status: 400, code: 'InvalidObjectName' },
  },
  {
    case: 'PutObject with Transfer-Encoding: chunked and no length',
    judge: errors,
    observed: { status: 411, code: 'MissingContentLength' },
  },
  {
    case: 'PutObject with a right CRC32 answers it',
    judge: guide('checking-object-integrity'),
    observed: { status: 200, checksum: undefined },
  },
  {
    case: 'PutObject with a wrong CRC32',
    judge: guide('checking-object-integrity'),
    observed: { status: 200, code: '' },
  },
  {
    case: 'PutObject with a CRC32 that is none',
    judge: guide('checking-object-integrity'),
    observed: { status: 200, code: '' },
  },
  {
    case: 'PutObject in aws-chunked framing stores the bytes without it',
    judge: 'https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html',
    observed: { status: 400, body: undefined, encoding: undefined },
  },
  {
    case: 'PutObject in aws-chunked framing with a wrong trailer',
    judge: 'https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html',
    observed: { status: 400, code: 'XAmzContentSHA256Mismatch' },
  },
  {
    case: 'PutObject with If-Match replaces only what it names',
    judge: guide('conditional-writes'),
    observed: { wrong: 412, right: 412, missing: 412 },
  },
  {
    case: 'user metadata above 2 KB is refused',
    judge: guide('UsingMetadata'),
    observed: { status: 200, code: '' },
  },
  {
    case: 'DeleteObjects without any checksum of its body',
    judge: api('DeleteObjects'),
    observed: { status: 200, code: '' },
  },
  {
    case: 'DeleteObjects with a document that is none',
    judge: errors,
    observed: { status: 400, code: '' },
  },
  {
    case: 'CopyObject copies bytes and metadata',
    judge: api('CopyObject'),
    // The ETag comes without quotes.
    observed: {
      status: 200,
      etag: 'b8c0207a32ec0ad85e383dc7f7c18fea',
      body: 'Hello, uploads!',
      meta: 'Ada',
      type: 'video/mp4',
    },
  },
  {
    case: 'a multipart upload by the SDK becomes one object with its headers',
    judge: api('CompleteMultipartUpload'),
    // The answer's ETag is empty; HeadObject gives it.
    observed: {
      etag: '',
      length: 10_485_767,
      type: 'video/mp4',
      meta: 'Ada',
      digest: 'c9e149add36d309f9bd1b5e22db5a9a5',
    },
  },
  {
    case: 'a single small part is enough, with any number up to 10,000',
    judge: api('CompleteMultipartUpload'),
    observed: { status: 200, etag: '' },
  },
  {
    case: 'parts that are not listed are left out',
    judge: guide('mpuoverview'),
    observed: { status: 400, body: undefined },
  },
  {
    case: 'CompleteMultipartUpload with parts out of order',
    judge: api('CompleteMultipartUpload'),
    observed: { status: 200, code: '', uploadStays: 404 },
  },
  {
    case: 'CompleteMultipartUpload with a part listed twice',
    judge: api('CompleteMultipartUpload'),
    observed: { status: 200, code: '', uploadStays: 404 },
  },
  {
    case: 'CompleteMultipartUpload with a document type and entities',
    judge: errors,
    observed: { status: 200, code: '', uploadStays: 404 },
  },
  {
    case: 'CompleteMultipartUpload with another object size than the parts have',
    judge: api('CompleteMultipartUpload'),
    observed: { status: 200, code: '', uploadStays: 404 },
  },
  {
    case: 'CompleteMultipartUpload with If-None-Match: * on a key that exists',
    judge: guide('conditional-writes'),
    observed: { status: 200, code: '' },
  },
  {
    case: 'CompleteMultipartUpload repeated answers the same success',
    judge: api('CompleteMultipartUpload'),
    observed: { status: 200, sameEtag: false },
  },
  {
    case: 'CompleteMultipartUpload repeated after the object was deleted',
    judge: api('CompleteMultipartUpload'),
    observed: { status: 500, code: 'InternalError' },
  },
  {
    case: 'an upload id that never was',
    judge: errors,
    observed: {
      part: 'NoSuchUpload',
      complete: 'InternalError',
      abort: 'NoSuchUpload',
      list: 'NoSuchKey',
    },
  },
  {
    case: 'AbortMultipartUpload forgets the parts, for good',
    judge: api('CompleteMultipartUpload'),
    observed: { first: 204, second: 'NoSuchUpload', part: 'NoSuchUpload', complete: 'InternalError' },
  },
  {
    case: 'part numbers 0, 10,001 and words are refused',
    judge: api('UploadPart'),
    observed: { zero: '', beyond: '', word: 'InvalidArgument' },
  },
  {
    case: 'UploadPartCopy takes a whole object or a range of it',
    judge: api('UploadPartCopy'),
    // The ETags come without quotes.
    observed: {
      whole: '781e5e245d69b566979b86e28d23f2c7',
      range: '289dff07669d7a23de0ef88d2f7129e7',
      body: '234',
    },
  },
  {
    case: 'UploadPartCopy with a range beyond the source',
    judge: api('UploadPartCopy'),
    observed: { status: 416, code: 'InvalidRange' },
  },
  {
    case: 'a CRC64NVME declared at the start covers the whole object',
    judge: guide('checking-object-integrity'),
    observed: { declared: undefined, checksum: undefined, type: undefined },
  },
  {
    case: 'a composite CRC32 declared at the start is demanded of every part',
    judge: guide('checking-object-integrity'),
    observed: { status: 200, code: '' },
  },
  {
    case: 'GetObject by part number',
    judge: api('GetObject'),
    // The whole object, which is too long to show.
    observed: { status: 200, body: '', parts: undefined },
  },
  {
    case: 'a preflight that a rule allows',
    judge: guide('cors'),
    // Only the method asked for, not the rule's.
    observed: {
      status: 200,
      origin: 'https://app.example',
      methods: ['PUT'],
      headers: ['content-type', 'x-amz-meta-a'],
      exposed: 'ETag',
      maxAge: '3000',
      varies: true,
    },
  },
  ...[
    'a preflight from another origin',
    'a preflight for a method that no rule allows',
    'a preflight for a header that no rule allows',
    'a preflight of a bucket without rules',
  ].map((name) => ({
    case: name,
    judge: guide('cors-troubleshooting'),
    observed: { status: 403, code: 'AccessDenied' },
  })),
  {
    case: 'a preflight without an origin',
    judge: 'https://docs.aws.amazon.com/AmazonS3/latest/API/RESTOPTIONSobject.html',
    observed: { status: 400, code: 'InvalidArgument' },
  },
];

/** Where a request that our forwarder passes on is answered otherwise than one that goes to Ceph directly. */
export const forwardingDifferences: readonly KnownDifference[] = [
  {
    case: 'an upload id that never was',
    judge: errors,
    observed: {
      part: 'NoSuchUpload',
      complete: 'InternalError',
      abort: 'NoSuchUpload',
      list: 'NoSuchUpload',
    },
  },
  {
    case: 'PutObject with Transfer-Encoding: chunked and no length',
    judge: errors,
    observed: { status: 501, code: 'NotImplemented' },
  },
  {
    case: 'PutObject in aws-chunked framing stores the bytes without it',
    judge: 'https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html',
    observed: { status: 200, body: 'Hello, uploads!', encoding: undefined },
  },
  {
    case: 'PutObject in aws-chunked framing with a wrong trailer',
    judge: 'https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html',
    observed: { status: 400, code: 'BadDigest' },
  },
];
