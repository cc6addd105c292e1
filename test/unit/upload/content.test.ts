import { describe, expect, test } from '@jest/globals';
import { contentMismatch, typeOfBytes } from '../../../lambdas/upload/content.ts';
import { HTML, MATROSKA, MP4, PNG, QUICKTIME, WEBM, ZIP } from '../../support/media.ts';

const fits = async (announced: string, bytes: Uint8Array, allowed: string[] = []): Promise<boolean> =>
  contentMismatch(announced, await typeOfBytes(bytes), allowed) === undefined;

describe('first bytes', () => {
  test.each([
    ['video/mp4', MP4],
    ['video/quicktime', MP4],
    ['video/mp4', QUICKTIME],
    ['audio/mp4', MP4],
    ['video/webm', WEBM],
    ['video/webm', MATROSKA],
    ['video/x-matroska', WEBM],
    ['image/png', PNG],
    ['application/zip', ZIP],
    ['application/vnd.openxmlformats-officedocument.wordprocessingml.document', ZIP],
    ['text/html', HTML],
    ['application/json', Buffer.from('{}')],
    ['application/octet-stream', MP4],
    ['application/octet-stream', HTML],
  ])('are taken as %s', async (announced, bytes) => {
    expect(await fits(announced, bytes)).toBe(true);
  });

  test.each([
    ['video/mp4', HTML],
    ['video/mp4', PNG],
    ['video/mp4', WEBM],
    ['video/mp4', ZIP],
    ['video/webm', MP4],
    ['image/png', MP4],
    ['image/jpeg', HTML],
    ['audio/mpeg', Buffer.alloc(0)],
    ['application/pdf', ZIP],
    ['application/json', MP4],
  ])('are not taken as %s', async (announced, bytes) => {
    expect(await fits(announced, bytes)).toBe(false);
  });

  test('of a file announced as nothing in particular must be of a type that is taken', async () => {
    const allowed = ['video/*', 'application/octet-stream'];
    expect(await fits('application/octet-stream', MP4, allowed)).toBe(true);
    expect(await fits('application/octet-stream', PNG, allowed)).toBe(false);
    expect(await fits('text/plain', ZIP, ['text/*'])).toBe(false);
    expect(await fits('text/plain', HTML, ['text/*'])).toBe(true);
  });

  test('that lie about their own length are no harm', async () => {
    for (const bytes of [MP4.subarray(0, 9), Buffer.concat([MP4.subarray(0, 8), Buffer.alloc(4092, 255)])])
      await expect(typeOfBytes(bytes)).resolves.not.toThrow();
  });
});
