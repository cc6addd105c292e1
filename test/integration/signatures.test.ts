import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { TestStack } from '../support/stack.ts';
import { signatureCases } from './s3-contract/signature-cases.ts';
import { createTarget, type Target, unique } from './s3-contract/target.ts';

/** The endpoint's own check of signatures, held to what the S3 contract says of them, whatever S3 is behind it. */
const stack = new TestStack();
let target: Target;
beforeAll(async () => {
  await stack.start();
  target = createTarget({
    name: 'the AWS endpoint',
    endpoint: stack.awsEndpointUrl,
    credentials: { accessKeyId: stack.accessKeyId, secretAccessKey: stack.secretAccessKey },
    bucket: stack.bucketName,
    plainBucket: stack.bucketName,
    region: stack.region,
  });
}, 120_000);
afterAll(async () => {
  target.close();
  await stack.stop();
}, 60_000);

test.each(signatureCases)('$name', async ({ run, expected }) => {
  expect(await run(target, `contract/${unique()}`)).toEqual(expected);
});
