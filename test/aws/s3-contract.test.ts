import { afterAll, describe, expect, test } from '@jest/globals';
import { allCases, keyOf, named } from '../integration/s3-contract/cases.ts';
import { createTarget } from '../integration/s3-contract/target.ts';

/** The environment names an S3 and two buckets in it, of which the first has the CORS rules of `contractBucket`. */
function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`Set ${name}: docs/local.md, "On AWS itself".`);
  return value;
}

describe('the S3 that is named in AWS_ENDPOINT answers as AWS documents', () => {
  const { AWS_SESSION_TOKEN: sessionToken } = process.env;
  const target = createTarget({
    name: 'AWS_ENDPOINT',
    endpoint: setting('AWS_ENDPOINT'),
    credentials: {
      accessKeyId: setting('AWS_ACCESS_KEY_ID'),
      secretAccessKey: setting('AWS_SECRET_ACCESS_KEY'),
      ...(sessionToken === undefined ? {} : { sessionToken }),
    },
    bucket: setting('BUCKET_WITH_CORS'),
    plainBucket: setting('BUCKET_WITHOUT_CORS'),
    region: setting('AWS_REGION'),
  });
  afterAll(() => target.close());

  test.each(named(allCases))(
    '%s',
    async (_name, contractCase) => {
      expect(await contractCase.run(target, keyOf(contractCase))).toEqual(contractCase.expected);
    },
    30_000,
  );
});
