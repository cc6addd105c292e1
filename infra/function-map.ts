import type { FunctionEnvironment } from '../lambdas/environment.ts';

/**
 * Every function with what starts it and what it may do, in one place. Its routes, its rules, its place in the
 * workflow, its environment and its permissions are all made from here, so that they cannot disagree.
 */

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD';
export type Route = `${Method} /${string}`;

export type Trigger =
  | { readonly http: readonly Route[] }
  /** A task of the workflow; the name by which the state machine's definition calls it. */
  | { readonly step: string }
  /** The workflow ended otherwise than by success. */
  | { readonly on: 'execution failed' }
  | { readonly everyMinutes: number };

/** IAM actions, by what they are about. */
export interface Permissions {
  readonly table?: readonly `dynamodb:${string}`[];
  /** The index of open uploads. */
  readonly watchIndex?: readonly `dynamodb:${string}`[];
  /** Objects, and multipart uploads of them, under `uploads/`. */
  readonly uploads?: readonly `s3:${string}`[];
  /** Objects under `staging/`. */
  readonly staging?: readonly `s3:${string}`[];
  /**
   * Listing multipart uploads: of the whole bucket, since IAM knows no condition on a prefix for it.
   * https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
   */
  readonly multipartUploads?: readonly ['s3:ListBucketMultipartUploads'];
  /** Actions on the bucket itself, for keys under `staging/` only. */
  readonly listStaging?: readonly `s3:${string}`[];
  /**
   * Listing the whole bucket, for a function that reads objects: without it S3 says 403 of an object that is not
   * there, where 404 is what the function looks for. A condition on a prefix would not hold for such a request.
   * https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
   */
  readonly missingObjects?: readonly ['s3:ListBucket'];
  readonly stateMachine?: readonly `states:${string}`[];
  readonly executions?: readonly `states:${string}`[];
  readonly eventBus?: readonly `events:${string}`[];
  /** The deployer's own function. */
  readonly authorizeFunction?: readonly ['lambda:InvokeFunction'];
}

/** What a deployer may turn on, and functions then need more for. */
export type Feature = 'authorizeUpload';

export interface UploadFunction {
  readonly description: string;
  readonly trigger: Trigger;
  /** MiB; Lambda gives CPU in proportion, one whole core at 1,769. */
  readonly memory: number;
  /** Seconds. API Gateway waits 30 at most, so that what it calls must end before. */
  readonly timeout: number;
  readonly may: Permissions;
  /** What it may besides, only where the feature is on. */
  readonly mayWith?: Partial<Record<Feature, Permissions>>;
  /** Variables besides those that name what it may act on. */
  readonly alsoReads: readonly (keyof FunctionEnvironment)[];
}

export const UPLOAD_FUNCTIONS = {
  'receive-chunk': {
    description: 'Stores one chunk that Resumable.js sends',
    trigger: { http: ['POST /upload'] },
    // A body of 6 MB exists some three times at once: as the event, as base64 and as bytes.
    memory: 1024,
    timeout: 29,
    may: {
      table: ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:UpdateItem'],
      uploads: ['s3:AbortMultipartUpload', 's3:PutObject'],
      staging: ['s3:PutObject'],
      stateMachine: ['states:StartExecution'],
    },
    mayWith: { authorizeUpload: { authorizeFunction: ['lambda:InvokeFunction'] } },
    alsoReads: ['SETTINGS'],
  },
  'test-chunk': {
    description: 'Tells Resumable.js whether a chunk is already there',
    trigger: {
      // The methods that are refused with 405 are named one by one: an ANY route would take the browsers'
      // preflight requests, which carry no authorization, and refuse those too.
      http: ['GET /upload', 'PUT /upload', 'PATCH /upload', 'DELETE /upload', 'HEAD /upload'],
    },
    memory: 512,
    timeout: 10,
    may: { table: ['dynamodb:GetItem'] },
    alsoReads: ['SETTINGS'],
  },
  'get-options': {
    description: 'Tells a page what may be uploaded, and in what sizes',
    trigger: { http: ['GET /upload/options'] },
    memory: 256,
    timeout: 10,
    may: {},
    alsoReads: ['SETTINGS'],
  },
  'create-upload': {
    description: 'Starts or resumes an upload by presigned URLs',
    trigger: { http: ['POST /uploads'] },
    memory: 1024,
    timeout: 29,
    may: {
      table: ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:Query', 'dynamodb:UpdateItem'],
      // To create the multipart upload; and a presigned URL may do what its signer may.
      uploads: ['s3:AbortMultipartUpload', 's3:ListMultipartUploadParts', 's3:PutObject'],
      // With `checkContent` the first part's URL stores a staged object. Also where it is off by now: an upload goes on
      // as it began.
      staging: ['s3:PutObject'],
      listStaging: ['s3:ListBucket'],
      stateMachine: ['states:StartExecution'],
    },
    mayWith: { authorizeUpload: { authorizeFunction: ['lambda:InvokeFunction'] } },
    alsoReads: ['SETTINGS'],
  },
  'get-upload': {
    description: 'Tells where an upload stands',
    trigger: { http: ['GET /uploads/{uploadId}'] },
    memory: 512,
    timeout: 29,
    may: { table: ['dynamodb:GetItem', 'dynamodb:Query'] },
    alsoReads: [],
  },
  'sign-parts': {
    description: 'Signs URLs for the parts of an upload',
    trigger: { http: ['POST /uploads/{uploadId}/part-urls'] },
    memory: 1024,
    timeout: 29,
    may: {
      table: ['dynamodb:GetItem'],
      uploads: ['s3:PutObject'],
      staging: ['s3:PutObject'],
    },
    alsoReads: ['SETTINGS'],
  },
  'record-parts': {
    description: 'Records the parts that a browser has put to S3',
    trigger: { http: ['POST /uploads/{uploadId}/parts'] },
    memory: 512,
    timeout: 29,
    may: {
      table: ['dynamodb:GetItem', 'dynamodb:UpdateItem'],
      stateMachine: ['states:StartExecution'],
    },
    alsoReads: ['SETTINGS'],
  },
  'abort-upload': {
    description: 'Gives an upload up, and removes what it left',
    trigger: { http: ['DELETE /uploads/{uploadId}'] },
    memory: 512,
    timeout: 29,
    may: {
      table: ['dynamodb:BatchWriteItem', 'dynamodb:GetItem', 'dynamodb:Query', 'dynamodb:UpdateItem'],
      uploads: ['s3:AbortMultipartUpload'],
      staging: ['s3:DeleteObject'],
      multipartUploads: ['s3:ListBucketMultipartUploads'],
      listStaging: ['s3:ListBucket'],
    },
    alsoReads: ['SETTINGS'],
  },
  'gather-parts': {
    description: 'Checks that an upload is whole, and plans its completion',
    trigger: { step: 'GatherParts' },
    memory: 1024,
    timeout: 280,
    may: {
      table: ['dynamodb:GetItem', 'dynamodb:Query', 'dynamodb:UpdateItem'],
      // The first assembled part needs the multipart upload that proxy mode puts off until here.
      uploads: ['s3:AbortMultipartUpload', 's3:PutObject'],
      // With `checkContent`: to look at the staged first part, and to copy it into its place.
      staging: ['s3:GetObject'],
      missingObjects: ['s3:ListBucket'],
    },
    alsoReads: ['SETTINGS'],
  },
  'assemble-part': {
    description: 'Joins staged chunks into one part of legal size',
    trigger: { step: 'AssemblePart' },
    // One whole core: it moves bytes, and hashes them.
    memory: 1769,
    // Lambda's longest is 900; the state waits those.
    timeout: 880,
    may: {
      table: ['dynamodb:GetItem', 'dynamodb:UpdateItem'],
      uploads: ['s3:PutObject'],
      staging: ['s3:GetObject'],
      missingObjects: ['s3:ListBucket'],
    },
    alsoReads: ['SETTINGS'],
  },
  'complete-upload': {
    description: 'Completes the multipart upload in S3',
    trigger: { step: 'CompleteUpload' },
    memory: 1024,
    // S3 can take minutes to complete a large one, and there may be a million staged chunks to delete.
    timeout: 880,
    may: {
      table: ['dynamodb:GetItem', 'dynamodb:Query', 'dynamodb:UpdateItem'],
      uploads: ['s3:GetObject', 's3:ListMultipartUploadParts', 's3:PutObject'],
      staging: ['s3:DeleteObject'],
      missingObjects: ['s3:ListBucket'],
    },
    alsoReads: ['SETTINGS'],
  },
  'record-failure': {
    description: 'Records that a workflow failed, and tells',
    trigger: { on: 'execution failed' },
    memory: 512,
    timeout: 30,
    may: {
      table: ['dynamodb:GetItem', 'dynamodb:UpdateItem'],
      eventBus: ['events:PutEvents'],
    },
    alsoReads: ['BUCKET_NAME', 'SETTINGS'],
  },
  watchdog: {
    description: 'Looks after uploads that have been quiet: starts their completion, or gives them up',
    trigger: { everyMinutes: 5 },
    memory: 1024,
    timeout: 280,
    may: {
      table: ['dynamodb:GetItem', 'dynamodb:Query', 'dynamodb:UpdateItem'],
      watchIndex: ['dynamodb:Query'],
      uploads: ['s3:AbortMultipartUpload', 's3:ListMultipartUploadParts'],
      staging: ['s3:DeleteObject'],
      multipartUploads: ['s3:ListBucketMultipartUploads'],
      listStaging: ['s3:ListBucket'],
      stateMachine: ['states:StartExecution'],
      executions: ['states:DescribeExecution', 'states:RedriveExecution'],
      eventBus: ['events:PutEvents'],
    },
    alsoReads: ['SETTINGS'],
  },
} as const satisfies Record<string, UploadFunction>;

export type UploadFunctionName = keyof typeof UPLOAD_FUNCTIONS;

/** What a function may where these features are on. */
export function permissionsOf(fn: UploadFunction, features: readonly Feature[]): Permissions {
  const all = [fn.may, ...features.map((feature) => fn.mayWith?.[feature] ?? {})];
  const subjects = [...new Set(all.flatMap((one) => Object.keys(one)))] as (keyof Permissions)[];
  return Object.fromEntries(
    subjects.map((subject) => [
      subject,
      [...new Set(all.flatMap((one): readonly string[] => one[subject] ?? []))],
    ]),
  ) as Permissions;
}

/** Name and description of every function, in the map's order. */
export const uploadFunctions = (): (readonly [UploadFunctionName, UploadFunction])[] =>
  Object.entries(UPLOAD_FUNCTIONS) as (readonly [UploadFunctionName, UploadFunction])[];

/** `receive-chunk` as `ReceiveChunk`: construct ids, and with them what the console shows. */
export const pascalCase = (name: string): string =>
  name.replaceAll(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase());
