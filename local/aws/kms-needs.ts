/** KMS permissions that a caller needs besides, where a bucket or table has a customer's key. */
import type { LocalTemplate, Resource } from '../types.ts';
import type { Need } from './access.ts';
import { UnsupportedPolicy } from './iam.ts';

/** What the template says of the key: its ARN or id; undefined for keys that AWS owns or manages. */
const customerKey = (owner: Resource): unknown => {
  const { properties } = owner;
  if (owner.type === 'AWS::S3::Bucket') {
    const encryption = properties['BucketEncryption'] as
      | {
          ServerSideEncryptionConfiguration?: {
            ServerSideEncryptionByDefault?: { KMSMasterKeyID?: unknown };
          }[];
        }
      | undefined;
    return encryption?.ServerSideEncryptionConfiguration?.[0]?.ServerSideEncryptionByDefault?.KMSMasterKeyID;
  }
  if (owner.type === 'AWS::DynamoDB::Table')
    return (properties['SSESpecification'] as { KMSMasterKeyId?: unknown } | undefined)?.KMSMasterKeyId;
  return undefined;
};

/** @param service the part of `kms:ViaService` before the region */
export const kmsNeeds = (
  template: LocalTemplate,
  owner: Resource | undefined,
  service: 's3' | 'dynamodb',
  actions: readonly string[],
): Need[] => {
  if (!owner || actions.length === 0) return [];
  const named = customerKey(owner);
  if (named === undefined) return [];
  const key = template
    .byType('AWS::KMS::Key')
    .find(({ arn, physicalId, logicalId }) => [arn, physicalId, logicalId].includes(String(named)));
  if (!key?.arn)
    throw new UnsupportedPolicy(`${owner.logicalId}: the key ${String(named)} is not in the template`);
  const { arn } = key;
  const context = {
    'kms:viaservice': `${service}.${template.region}.amazonaws.com`,
    'kms:calleraccount': template.account,
  };
  return actions.map((action) => ({ action, resource: arn, owner: key, context }));
};
