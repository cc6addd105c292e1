import { type ContractCase, must, type Outcome, verdict } from './case.ts';
import type { RawAnswer, Target } from './target.ts';

const corsHeaders = ({ status, headers }: RawAnswer): Outcome => ({
  status,
  origin: headers['access-control-allow-origin'],
  methods: headers['access-control-allow-methods']?.split(/, ?/),
  headers: headers['access-control-allow-headers']?.toLowerCase().split(/, ?/).toSorted(),
  exposed: headers['access-control-expose-headers'],
  maxAge: headers['access-control-max-age'],
  varies: headers.vary?.toLowerCase().includes('origin') ?? false,
});

/** Browsers sign no preflight. */
const preflight = (target: Target, key: string, headers: Record<string, string>, bucket = target.bucket) =>
  target.sendAsIs('OPTIONS', `/${bucket}/${key}`, headers);

export const corsCases: readonly ContractCase[] = [
  {
    name: 'a preflight that a rule allows',
    expected: {
      status: 200,
      origin: 'https://app.example',
      methods: ['GET', 'PUT'],
      headers: ['content-type', 'x-amz-meta-a'],
      exposed: 'ETag',
      maxAge: '3000',
      varies: true,
    },
    run: async (target, key) =>
      corsHeaders(
        await preflight(target, key, {
          origin: 'https://app.example',
          'access-control-request-method': 'PUT',
          'access-control-request-headers': 'Content-Type, x-amz-meta-a',
        }),
      ),
  },
  {
    name: 'a preflight from an origin that a wildcard allows',
    expected: { status: 200, origin: 'https://one.apps.example' },
    async run(target, key) {
      const answer = await preflight(target, key, {
        origin: 'https://one.apps.example',
        'access-control-request-method': 'PUT',
      });
      const { status, origin } = corsHeaders(answer);
      return { status, origin };
    },
  },
  {
    name: 'a preflight from another origin',
    expected: { status: 403, code: 'AccessForbidden' },
    run: async (target, key) =>
      verdict(
        await preflight(target, key, {
          origin: 'https://evil.example',
          'access-control-request-method': 'PUT',
        }),
      ),
  },
  {
    name: 'a preflight for a method that no rule allows',
    expected: { status: 403, code: 'AccessForbidden' },
    run: async (target, key) =>
      verdict(
        await preflight(target, key, {
          origin: 'https://app.example',
          'access-control-request-method': 'DELETE',
        }),
      ),
  },
  {
    name: 'a preflight for a header that no rule allows',
    expected: { status: 403, code: 'AccessForbidden' },
    run: async (target, key) =>
      verdict(
        await preflight(target, key, {
          origin: 'https://app.example',
          'access-control-request-method': 'PUT',
          'access-control-request-headers': 'authorization',
        }),
      ),
  },
  {
    name: 'a preflight of a bucket without rules',
    expected: { status: 403, code: 'AccessForbidden' },
    run: async (target, key) =>
      verdict(
        await preflight(
          target,
          key,
          { origin: 'https://app.example', 'access-control-request-method': 'PUT' },
          target.plainBucket,
        ),
      ),
  },
  {
    name: 'a preflight without an origin',
    expected: { status: 400, code: 'BadRequest' },
    run: async (target, key) =>
      verdict(await preflight(target, key, { 'access-control-request-method': 'PUT' })),
  },
  {
    name: 'a PUT from an allowed origin shows its ETag to the page',
    expected: { status: 200, origin: 'https://app.example', exposed: 'ETag', varies: true },
    async run(target, key) {
      const answer = await target.send('PUT', key, {
        body: 'x',
        headers: { origin: 'https://app.example' },
      });
      const { status, origin, exposed, varies } = corsHeaders(answer);
      return { status, origin, exposed, varies };
    },
  },
  {
    name: 'a GET from another origin is served without CORS headers',
    expected: { status: 200, origin: undefined, exposed: undefined },
    async run(target, key) {
      must(await target.send('PUT', key, { body: 'x' }), 'put');
      const answer = await target.send('GET', key, { headers: { origin: 'https://evil.example' } });
      const { status, origin, exposed } = corsHeaders(answer);
      return { status, origin, exposed };
    },
  },
  {
    name: 'an error to an allowed origin carries CORS headers, so that the page can read it',
    expected: { status: 404, origin: 'https://app.example' },
    async run(target, key) {
      const answer = await target.send('GET', key, { headers: { origin: 'https://app.example' } });
      const { status, origin } = corsHeaders(answer);
      return { status, origin };
    },
  },
];
