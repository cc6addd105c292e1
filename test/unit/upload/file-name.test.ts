import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { cleanFileName, extensionOf } from '../../../lambdas/upload/file-name.ts';

describe('a clean file name', () => {
  test.each([
    ['holiday.mp4', 'holiday.mp4'],
    ['日本語 “x” 🎬.mp4', '日本語 “x” 🎬.mp4'],
    ['../../etc/passwd', 'passwd'],
    ['C:\\films\\a.mov', 'a.mov'],
    ['.htaccess', 'htaccess'],
    ['...', 'file'],
    ['', 'file'],
    ['/', 'file'],
    ['a\u0000b\r\nc.mp4', 'abc.mp4'],
    ['gpj.\u202e4pm', 'gpj.4pm'],
    ['a"b<c>.mp4', 'a_b_c_.mp4'],
    ['CON.mp4', '_CON.mp4'],
    ['aux', '_aux'],
    ['e\u0301.mp4', '\u00e9.mp4'],
    ['\ud800x.mp4', '\ufffdx.mp4'],
    ['a  \t b.mp4', 'a b.mp4'],
  ])('of %j is %j', (name, clean) => {
    expect(cleanFileName(name)).toBe(clean);
  });

  test('is short, and keeps its ending', () => {
    const clean = cleanFileName(`${'長'.repeat(300)}.webm`);
    expect(Buffer.byteLength(clean)).toBeLessThanOrEqual(200);
    expect(clean.endsWith('長.webm')).toBe(true);
  });

  test('is a safe last segment of a key whatever it was made from', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (name) => {
        const clean = cleanFileName(name);
        expect(clean).toMatch(/^[^/\\\p{Cc}"<>]+$/u);
        expect(clean.startsWith('.')).toBe(false);
        expect(Buffer.byteLength(clean)).toBeLessThanOrEqual(201);
        expect(cleanFileName(clean)).toBe(clean);
      }),
      { numRuns: 500 },
    );
  });
});

test('an ending is lower case, and there only when there is a stem', () => {
  expect(['A.MP4', 'a.tar.gz', '.mp4', 'mp4', 'a.', 'a. b'].map(extensionOf)).toEqual([
    '.mp4',
    '.gz',
    '',
    '',
    '',
    '',
  ]);
});
