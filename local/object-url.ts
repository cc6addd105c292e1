import { GetObjectCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';

/** As long as S3 lets a URL be good, seconds. */
const LONGEST = 604_800;

/** A URL that downloads an object, under its own name. */
export async function signObjectUrl(
  config: Pick<S3ClientConfig, 'endpoint' | 'region' | 'credentials'>,
  target: { readonly Bucket: string; readonly Key: string },
): Promise<string> {
  const client = new S3Client({ ...config, forcePathStyle: true });
  const name = encodeURIComponent(target.Key.split('/').at(-1) ?? '');
  const command = new GetObjectCommand({
    ...target,
    ResponseContentDisposition: `attachment; filename*=UTF-8''${name}`,
  });
  return await getSignedUrl(client, command, { expiresIn: LONGEST });
}
