/** The engines that the set-up has started, as `npm run test:engines` and `local/main.ts` name them. */
export function realEngines(): {
  readonly s3: { readonly endpoint: string; readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly dynamoDb: { readonly endpoint: string };
} {
  const { S3_ENDPOINT, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, DYNAMODB_ENDPOINT } = process.env;
  if (!S3_ENDPOINT || !S3_ACCESS_KEY_ID || !S3_SECRET_ACCESS_KEY || !DYNAMODB_ENDPOINT) {
    throw new Error('The real engines run with `npm run test:engines` only.');
  }
  return {
    s3: { endpoint: S3_ENDPOINT, accessKeyId: S3_ACCESS_KEY_ID, secretAccessKey: S3_SECRET_ACCESS_KEY },
    dynamoDb: { endpoint: DYNAMODB_ENDPOINT },
  };
}
