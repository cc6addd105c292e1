/**
 * Which S3 operation a path-style request is, and which permissions it needs.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
 */
import type { LocalTemplate } from '../types.ts';
import type { Need } from './access.ts';
import { kmsNeeds } from './kms-needs.ts';
import { queryPairs, type SignedRequest, splitTarget } from './sigv4-canonical.ts';

export interface S3Request {
  /** S3's own name, for example `UploadPart`. */
  readonly operation: string;
  readonly bucket: string;
  /** Decoded; empty for the bucket itself. */
  readonly key: string;
  readonly query: ReadonlyMap<string, string>;
}

const bucketOperations: readonly [method: string, parameter: string | undefined, operation: string][] = [
  ['GET', 'uploads', 'ListMultipartUploads'],
  ['GET', 'versions', 'ListObjectVersions'],
  ['GET', 'location', 'GetBucketLocation'],
  ['GET', 'cors', 'GetBucketCors'],
  ['GET', 'lifecycle', 'GetBucketLifecycleConfiguration'],
  ['GET', 'versioning', 'GetBucketVersioning'],
  ['GET', 'encryption', 'GetBucketEncryption'],
  ['GET', 'list-type', 'ListObjectsV2'],
  ['GET', undefined, 'ListObjects'],
  ['HEAD', undefined, 'HeadBucket'],
  ['POST', 'delete', 'DeleteObjects'],
  ['PUT', undefined, 'CreateBucket'],
  ['DELETE', undefined, 'DeleteBucket'],
];

const objectOperations: typeof bucketOperations = [
  ['PUT', 'uploadId', 'UploadPart'],
  ['PUT', 'tagging', 'PutObjectTagging'],
  ['PUT', 'acl', 'PutObjectAcl'],
  ['PUT', undefined, 'PutObject'],
  ['POST', 'uploads', 'CreateMultipartUpload'],
  ['POST', 'uploadId', 'CompleteMultipartUpload'],
  ['GET', 'uploadId', 'ListParts'],
  ['GET', 'tagging', 'GetObjectTagging'],
  ['GET', 'attributes', 'GetObjectAttributes'],
  ['GET', undefined, 'GetObject'],
  ['HEAD', undefined, 'HeadObject'],
  ['DELETE', 'uploadId', 'AbortMultipartUpload'],
  ['DELETE', 'tagging', 'DeleteObjectTagging'],
  ['DELETE', undefined, 'DeleteObject'],
];

/** Parameters that name an operation not served here; without this they would pass as a plain GET or PUT. */
const otherSubresources = [
  'policy',
  'notification',
  'replication',
  'website',
  'logging',
  'object-lock',
  'retention',
  'legal-hold',
  'restore',
  'select',
  'torrent',
  'publicAccessBlock',
  'ownershipControls',
  'accelerate',
  'requestPayment',
  'inventory',
  'metrics',
  'analytics',
  'intelligent-tiering',
];

/** Undefined: no S3 operation that is served here. Throws MalformedUri. */
export const readS3Request = (request: SignedRequest): S3Request | undefined => {
  const { path, query: queryText } = splitTarget(request.url);
  const pairs = queryPairs(queryText);
  const query = new Map(pairs);
  const [, bucket = '', ...rest] = path.split('/');
  // The key's own slashes and `%2F` are one and the same to S3.
  const key = queryPairs(`k=${rest.join('/').replaceAll('+', '%2B').replaceAll('&', '%26')}`)[0]?.[1] ?? '';
  if (otherSubresources.some((name) => query.has(name))) return undefined;
  if (bucket === '')
    return request.method === 'GET' ? { operation: 'ListBuckets', bucket, key: '', query } : undefined;
  const table = key === '' ? bucketOperations : objectOperations;
  const found = table.find(
    ([method, parameter]) => method === request.method && (parameter === undefined || query.has(parameter)),
  );
  if (!found) return undefined;
  const operation = request.headers['x-amz-copy-source']
    ? ({ UploadPart: 'UploadPartCopy', PutObject: 'CopyObject' }[found[2]] ?? found[2])
    : found[2];
  return { operation, bucket, key, query };
};

/** Actions on the object's or bucket's ARN whose names are not `s3:` and the operation's. */
const actionNames: Readonly<Record<string, readonly string[]>> = {
  ListBuckets: ['s3:ListAllMyBuckets'],
  ListMultipartUploads: ['s3:ListBucketMultipartUploads'],
  ListObjectVersions: ['s3:ListBucketVersions'],
  GetBucketCors: ['s3:GetBucketCORS'],
  GetBucketLifecycleConfiguration: ['s3:GetLifecycleConfiguration'],
  GetBucketEncryption: ['s3:GetEncryptionConfiguration'],
  ListObjects: ['s3:ListBucket'],
  ListObjectsV2: ['s3:ListBucket'],
  HeadBucket: ['s3:ListBucket'],
  UploadPart: ['s3:PutObject'],
  UploadPartCopy: ['s3:PutObject'],
  CopyObject: ['s3:PutObject'],
  CreateMultipartUpload: ['s3:PutObject'],
  CompleteMultipartUpload: ['s3:PutObject'],
  ListParts: ['s3:ListMultipartUploadParts'],
  HeadObject: ['s3:GetObject'],
  GetObjectAttributes: ['s3:GetObject', 's3:GetObjectAttributes'],
};

const header = (request: SignedRequest, name: string): string | undefined => {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
};

const conditionHeaders = [
  'x-amz-acl',
  'x-amz-server-side-encryption',
  'x-amz-server-side-encryption-aws-kms-key-id',
  'x-amz-storage-class',
  'x-amz-content-sha256',
  'if-none-match',
];

/** Which IAM knows a condition on the prefix for; for listing multipart uploads it knows none. */
const listsObjects = new Set(['ListObjects', 'ListObjectsV2', 'ListObjectVersions']);

const contextOf = (request: SignedRequest, s3: S3Request, presigned: boolean): Record<string, string> => {
  const context: Record<string, string> = {
    's3:signatureversion': 'AWS4-HMAC-SHA256',
    's3:authtype': presigned ? 'REST-QUERY-STRING' : 'REST-HEADER',
  };
  for (const name of listsObjects.has(s3.operation) ? ['prefix', 'delimiter', 'max-keys'] : []) {
    const value = s3.query.get(name);
    if (value !== undefined) context[`s3:${name}`] = value;
  }
  for (const name of conditionHeaders) {
    const value = header(request, name);
    if (value !== undefined) context[`s3:${name}`] = value;
  }
  for (const [name, value] of queryPairs(header(request, 'x-amz-tagging') ?? ''))
    context[`s3:requestobjecttag/${name.toLowerCase()}`] = value;
  return context;
};

/** Writes that take a data key; multipart ones also decrypt it again for each part. */
const encrypts = new Set([
  'PutObject',
  'CopyObject',
  'CreateMultipartUpload',
  'UploadPart',
  'UploadPartCopy',
]);
const decrypts = new Set([
  'GetObject',
  'HeadObject',
  'GetObjectAttributes',
  'CreateMultipartUpload',
  'UploadPart',
  'UploadPartCopy',
  'CompleteMultipartUpload',
  'ListParts',
]);

export const bucketArn = (bucket: string): string => `arn:aws:s3:::${bucket}`;

/**
 * What the call needs. `deleteKeys`: the keys in a DeleteObjects body; each is a need of its own.
 */
export const s3Needs = (
  template: LocalTemplate,
  request: SignedRequest,
  s3: S3Request,
  options: { readonly presigned: boolean; readonly deleteKeys?: readonly string[] },
): Need[] => {
  const buckets = template.byType('AWS::S3::Bucket');
  const ownerOf = (name: string) => buckets.find(({ physicalId }) => physicalId === name);
  const context = contextOf(request, s3, options.presigned);
  const need = (action: string, bucket: string, key: string): Need => {
    const owner = ownerOf(bucket);
    const resource = bucket === '' ? '*' : key === '' ? bucketArn(bucket) : `${bucketArn(bucket)}/${key}`;
    return { action, resource, context, ...(owner && { owner }) };
  };

  const { operation, bucket, key } = s3;
  if (options.deleteKeys) return options.deleteKeys.map((one) => need('s3:DeleteObject', bucket, one));
  const needs: Need[] = [];
  const source = header(request, 'x-amz-copy-source');
  if (source && (operation === 'CopyObject' || operation === 'UploadPartCopy')) {
    const plain = decodeURIComponent(splitTarget(source).path).replace(/^\//, '');
    const slash = plain.indexOf('/');
    needs.push(need('s3:GetObject', plain.slice(0, slash), plain.slice(slash + 1)));
    needs.push(...kmsNeeds(template, ownerOf(plain.slice(0, slash)), 's3', ['kms:Decrypt']));
  }
  const versioned = s3.query.has('versionId') ? 'Version' : '';
  for (const action of actionNames[operation] ?? [`s3:${operation}`])
    needs.push(need(/^s3:(Get|Delete)Object$/.test(action) ? `${action}${versioned}` : action, bucket, key));
  if (header(request, 'x-amz-tagging')) needs.push(need('s3:PutObjectTagging', bucket, key));
  if (header(request, 'x-amz-acl')) needs.push(need('s3:PutObjectAcl', bucket, key));
  needs.push(
    ...kmsNeeds(template, ownerOf(bucket), 's3', [
      ...(encrypts.has(operation) ? ['kms:GenerateDataKey'] : []),
      ...(decrypts.has(operation) ? ['kms:Decrypt'] : []),
    ]),
  );
  return needs;
};
