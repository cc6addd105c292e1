import { startCeph } from './ceph.ts';
import { startDynamoDbLocal } from './dynamodb-local.ts';

const stops: (() => Promise<void>)[] = [];

/**
 * With `ENGINES=real`, every stack that a test starts has Ceph's S3 and AWS's DynamoDB Local behind its AWS endpoint,
 * instead of the engines of its own. What a machine lacks for that is said, and nothing is run.
 */
export default async function setUp(): Promise<void> {
  const { ENGINES } = process.env;
  if (ENGINES === undefined || ENGINES === '') return;
  if (ENGINES !== 'real')
    throw new Error(`ENGINES is "${ENGINES}"; the only other engines are the "real" ones.`);
  const [ceph, dynamoDb] = await Promise.all([startCeph(), startDynamoDbLocal()]);
  stops.push(
    () => ceph.stop(),
    () => dynamoDb.stop(),
  );
  Object.assign(process.env, {
    S3_ENDPOINT: ceph.endpoint,
    S3_ACCESS_KEY_ID: ceph.accessKeyId,
    S3_SECRET_ACCESS_KEY: ceph.secretAccessKey,
    DYNAMODB_ENDPOINT: dynamoDb.endpoint,
  });
}

export const tearDown = async (): Promise<void> => {
  await Promise.all(stops.map(async (stop) => await stop()));
};
