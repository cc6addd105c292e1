import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import {
  type ChecksumAlgorithm,
  combineChecksums,
  createHasher,
  isChecksumValue,
} from '../../../local/s3/checksums.ts';

const checksumOf = async (algorithm: ChecksumAlgorithm, bytes: Buffer): Promise<string> => {
  const hasher = await createHasher(algorithm);
  hasher.update(bytes);
  return hasher.digest().toString('base64');
};

describe('checksums', () => {
  // The catalogue of parametrised CRCs gives these for the digits from 1 to 9; the hashes are FIPS 180's.
  test.each([
    ['CRC32', 'cbf43926'],
    ['CRC32C', 'e3069283'],
    ['CRC64NVME', 'ae8b14860a799888'],
    ['SHA1', 'f7c3bc1d808e04732adf679965ccc34ca7ae3441'],
  ] as const)('%s gives its check value', async (algorithm, hex) => {
    const value = await checksumOf(algorithm, Buffer.from('123456789'));
    expect(Buffer.from(value, 'base64').toString('hex')).toBe(hex);
    expect(isChecksumValue(algorithm, value)).toBe(true);
  });

  test.each(['CRC32', 'CRC32C', 'CRC64NVME'] as const)(
    "%s of the whole comes from the parts' checksums, whatever their sizes",
    async (algorithm) => {
      const bytes = randomBytes(100_000);
      const cuts = [0, 1, 1, 40_000, 40_003, 99_999, 100_000];
      const parts = await Promise.all(
        cuts.slice(1).map(async (end, index) => {
          const part = bytes.subarray(cuts[index], end);
          return { value: await checksumOf(algorithm, part), size: part.length };
        }),
      );
      expect(combineChecksums(algorithm, 'FULL_OBJECT', parts)).toEqual({
        algorithm,
        type: 'FULL_OBJECT',
        value: await checksumOf(algorithm, bytes),
      });
    },
  );

  test("a composite is the checksum of the parts' checksums, with their number", async () => {
    for (const algorithm of ['CRC32', 'CRC32C', 'SHA1', 'SHA256'] as const) {
      const values = [
        await checksumOf(algorithm, Buffer.from('a')),
        await checksumOf(algorithm, Buffer.from('b')),
      ];
      const joined = Buffer.concat(values.map((value) => Buffer.from(value, 'base64')));
      const { value } = combineChecksums(
        algorithm,
        'COMPOSITE',
        values.map((part) => ({ value: part, size: 1 })),
      );
      expect(value).toBe(`${await checksumOf(algorithm, joined)}-2`);
    }
  });

  test('10,000 parts combine within a second', async () => {
    const value = await checksumOf('CRC64NVME', Buffer.from('part'));
    const parts = Array.from({ length: 10_000 }, () => ({ value, size: 8 * 1024 * 1024 }));
    const start = performance.now();
    combineChecksums('CRC64NVME', 'FULL_OBJECT', parts);
    expect(performance.now() - start).toBeLessThan(1000);
  });
});
