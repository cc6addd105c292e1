import { describe, expect, test } from '@jest/globals';
import type { ApiEvent } from '../../../lambdas/http/handler.ts';
import { jsonBody, list, metadata, text, wholeNumber } from '../../../lambdas/http/json-body.ts';

const event = (body: string, contentType = 'application/json', base64 = false): ApiEvent =>
  ({
    headers: { 'content-type': contentType },
    body: base64 ? Buffer.from(body).toString('base64') : body,
    isBase64Encoded: base64,
  }) as unknown as ApiEvent;

describe('a JSON body', () => {
  test('is read, base64 or not', () => {
    expect(jsonBody(event('{"a":"ä"}'))).toEqual({ a: 'ä' });
    expect(jsonBody(event('{"a":"ä"}', 'application/json; charset=utf-8', true))).toEqual({ a: 'ä' });
  });

  test.each(['', 'x', '[]', 'null', '1', '"a"', '{'])('%j is refused', (body) => {
    expect(() => jsonBody(event(body))).toThrow(expect.objectContaining({ problem: 'invalid-request' }));
  });

  test('is refused when it is nested deeper than any of ours', () => {
    const nested = (levels: number): string => `{"a":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;
    expect(() => jsonBody(event(nested(8)))).not.toThrow();
    for (const levels of [9, 100, 60_000])
      expect(() => jsonBody(event(nested(levels)))).toThrow(/nested deeper than 8 levels/);
  });

  test('of another type, or gigantic, is refused', () => {
    expect(() => jsonBody(event('{}', 'text/plain'))).toThrow(
      expect.objectContaining({ problem: 'unsupported-body' }),
    );
    expect(() => jsonBody(event(JSON.stringify({ a: 'x'.repeat(300_000) })))).toThrow(/longer/);
  });
});

test('whole numbers are numbers within bounds and nothing else', () => {
  expect(wholeNumber(5, 'n', 1, 9)).toBe(5);
  for (const value of [0, 10, 1.5, '5', null, Number.NaN, true, [5], 2 ** 60])
    expect(() => wholeNumber(value, 'n', 1, 9)).toThrow('n must be a whole number from 1 to 9.');
});

test('text and lists have bounds', () => {
  expect(text(undefined, 't', 5, '')).toBe('');
  for (const value of ['', 'longer', 5, null]) expect(() => text(value, 't', 5)).toThrow();
  expect(list([1, 2], 'l', 2, Number)).toEqual([1, 2]);
  for (const value of [[], [1, 2, 3], {}, 'ab']) expect(() => list(value, 'l', 2, Number)).toThrow();
});

describe('metadata', () => {
  test('is a small object of texts', () => {
    expect(metadata(undefined)).toBeUndefined();
    expect(metadata({ title: 'Größe', a_b: '' })).toEqual({ title: 'Größe', a_b: '' });
  });

  test.each([
    [[]],
    [{ title: 1 }],
    [{ 'a b': 'x' }],
    [JSON.parse('{"__proto__": "x"}')],
    [{ constructor: 'x' }],
    [{ title: 'a\nb' }],
    [{ title: 'x'.repeat(2001) }],
    [Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`k${n}`, '']))],
  ])('such as %j is refused', (value) => {
    expect(() => metadata(value)).toThrow(expect.objectContaining({ problem: 'invalid-request' }));
  });
});
