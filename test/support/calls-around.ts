/**
 * Calls of the functions around an upload, by what each is seen at; deaths-around.test.ts holds that they are made
 * there, and dies at each.
 */
export const CALLS_AROUND = {
  abandoned: [
    'watchdog GetItem',
    'watchdog ListMultipartUploads',
    'watchdog AbortMultipartUpload',
    'watchdog ListObjectsV2',
    'watchdog DeleteObjects',
    'watchdog PutEvents',
    'watchdog UpdateItem',
  ],
  'recorded whole': ['watchdog Query', 'watchdog UpdateItem', 'watchdog StartExecution'],
  'without an execution': ['watchdog StartExecution', 'watchdog UpdateItem'],
  'failed, not recorded': [
    'watchdog StartExecution',
    'watchdog DescribeExecution',
    'watchdog GetItem',
    'watchdog UpdateItem',
    'watchdog PutEvents',
  ],
  'failed, to be redriven': ['watchdog GetItem', 'watchdog UpdateItem', 'watchdog RedriveExecution'],
  'staged, not recorded': [
    'watchdog ListParts',
    'watchdog ListObjectsV2',
    'watchdog UpdateItem',
    'watchdog StartExecution',
  ],
  'put, not reported': ['watchdog ListParts', 'watchdog UpdateItem', 'watchdog StartExecution'],
  completed: ['watchdog ListMultipartUploads', 'watchdog ListObjectsV2', 'watchdog UpdateItem'],
  aborted: [
    'abort-upload GetItem',
    'abort-upload UpdateItem',
    'abort-upload ListMultipartUploads',
    'abort-upload AbortMultipartUpload',
    'abort-upload ListObjectsV2',
    'abort-upload DeleteObjects',
    'abort-upload Query',
    'abort-upload BatchWriteItem',
  ],
  failed: ['record-failure GetItem', 'record-failure UpdateItem', 'record-failure PutEvents'],
} as const satisfies Record<string, readonly string[]>;
