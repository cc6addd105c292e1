import { type ContractCase, verdict } from './case.ts';
import { element, elements } from './target.ts';

/** What is asked of a bucket itself, or of the service. */
export const bucketCases: readonly ContractCase[] = [
  {
    name: 'ListBuckets names the buckets of the owner',
    expected: { status: 200, listed: [true, true], dated: true, missing: false },
    async run(target) {
      const { status, text } = await target.send('GET', '/');
      const names = elements(text, 'Name');
      const dates = elements(text, 'CreationDate');
      return {
        status,
        listed: [target.bucket, target.plainBucket].map((name) => names.includes(name)),
        dated: dates.length === names.length && dates.every((date) => Date.parse(date) <= Date.now()),
        missing: names.includes(`${target.bucket}-missing`),
      };
    },
  },
  {
    name: 'GetBucketLocation names the region, and us-east-1 by nothing',
    expected: { status: 200, isRegion: true },
    async run(target) {
      const { status, text } = await target.send('GET', '', { query: { location: '' } });
      const location = /<LocationConstraint[^>]*?(?:\/>|>([^<]*)<)/.exec(text);
      return { status, isRegion: location !== null && (location[1] || 'us-east-1') === target.region };
    },
  },
  {
    name: 'GetBucketCors gives the rules as they were put',
    expected: {
      status: 200,
      rules: 1,
      origins: ['https://*.apps.example', 'https://app.example'],
      methods: ['GET', 'PUT'],
      headers: ['content-type', 'x-amz-*'],
      exposed: ['ETag'],
      maxAge: '3000',
    },
    async run(target) {
      const { status, text } = await target.send('GET', '', { query: { cors: '' } });
      // Within a rule they are sets.
      return {
        status,
        rules: text.match(/<CORSRule>/g)?.length,
        origins: elements(text, 'AllowedOrigin').toSorted(),
        methods: elements(text, 'AllowedMethod').toSorted(),
        headers: elements(text, 'AllowedHeader').toSorted(),
        exposed: elements(text, 'ExposeHeader').toSorted(),
        maxAge: element(text, 'MaxAgeSeconds'),
      };
    },
  },
  {
    name: 'GetBucketCors of a bucket without rules',
    expected: { status: 404, code: 'NoSuchCORSConfiguration' },
    run: async (target) =>
      verdict(await target.send('GET', `/${target.plainBucket}`, { query: { cors: '' } })),
  },
  ...['location', 'cors'].map(
    (name): ContractCase => ({
      name: `the ${name} of a bucket that is not there`,
      expected: { status: 404, code: 'NoSuchBucket' },
      run: async (target) =>
        verdict(await target.send('GET', `/${target.bucket}-missing`, { query: { [name]: '' } })),
    }),
  ),
];
