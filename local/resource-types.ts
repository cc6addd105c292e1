import { createHash } from 'node:crypto';

/** Where a resource stands. */
export interface Place {
  readonly stackName: string;
  readonly account: string;
  readonly region: string;
  readonly logicalId: string;
}

/** How AWS would name a resource. `attributes` are what `Fn::GetAtt` gives. */
export interface Identity {
  readonly physicalId: string;
  readonly arn?: string;
  readonly attributes?: Readonly<Record<string, string>>;
}

/** A property of the resource, its intrinsics resolved; undefined where the template does not set it. */
type Property = (name: string) => unknown;

interface ResourceType {
  readonly identify: (place: Place, property: Property) => Identity;
  /** Why this type has no effect locally. Absent where the local stack provides the resource. */
  readonly inert?: string;
  /** Throws if the resource asks for something that the local stack would leave out. */
  readonly check?: (property: Property) => void;
}

const digest = (place: Place) =>
  createHash('sha256')
    .update(`${place.account}/${place.region}/${place.stackName}/${place.logicalId}`)
    .digest();

/** CloudFormation's `<stack>-<logical id>-<random>`, the random part made from the names so that it stays. */
function generatedName(place: Place, maxLength: number): string {
  const suffix = digest(place).toString('hex').slice(0, 12).toUpperCase();
  return `${`${place.stackName}-${place.logicalId}`.slice(0, maxLength - 13)}-${suffix}`;
}

/** The ten lower-case letters and digits that API Gateway gives as ids. */
function generatedId(place: Place, length = 10): string {
  return BigInt(`0x${digest(place).toString('hex')}`)
    .toString(36)
    .slice(0, length);
}

const named =
  (
    nameProperty: string,
    maxLength: number,
    identity: (name: string, place: Place, property: Property) => Identity,
  ) =>
  (place: Place, property: Property) =>
    identity(String(property(nameProperty) ?? generatedName(place, maxLength)), place, property);

const byId = (attribute: string) => (place: Place) => {
  const physicalId = generatedId(place);
  return { physicalId, attributes: { [attribute]: physicalId, Id: physicalId } };
};

const withName = (place: Place) => ({ physicalId: generatedName(place, 128) });

const table = named('TableName', 255, (name, { region, account }) => {
  const arn = `arn:aws:dynamodb:${region}:${account}:table/${name}`;
  return { physicalId: name, arn, attributes: { Arn: arn } };
});

/**
 * Every resource type that may be in the template. A type that is in neither list is an error: the local run
 * must not leave out a part of the stack without saying so.
 */
const resourceTypes: Readonly<Record<string, ResourceType>> = {
  'AWS::S3::Bucket': {
    identify: (place, property) => {
      const { stackName, logicalId, account, region } = place;
      // Bucket names are global, lower case and 63 characters at most.
      const generated = `${`${stackName}-${logicalId}`.toLowerCase().slice(0, 62 - account.length)}-${account}`;
      const name = String(property('BucketName') ?? generated);
      const arn = `arn:aws:s3:::${name}`;
      return {
        physicalId: name,
        arn,
        attributes: {
          Arn: arn,
          DomainName: `${name}.s3.amazonaws.com`,
          RegionalDomainName: `${name}.s3.${region}.amazonaws.com`,
          DualStackDomainName: `${name}.s3.dualstack.${region}.amazonaws.com`,
        },
      };
    },
  },
  'AWS::S3::BucketPolicy': { identify: withName },
  // Keys encrypt nothing here, but calls are checked against their policies.
  'AWS::KMS::Key': {
    identify: (place) => {
      const hex = digest(place).toString('hex');
      const id = [
        hex.slice(0, 8),
        hex.slice(8, 12),
        hex.slice(12, 16),
        hex.slice(16, 20),
        hex.slice(20, 32),
      ].join('-');
      const arn = `arn:aws:kms:${place.region}:${place.account}:key/${id}`;
      return { physicalId: id, arn, attributes: { Arn: arn, KeyId: id } };
    },
  },
  'AWS::DynamoDB::Table': { identify: table },
  'AWS::DynamoDB::GlobalTable': { identify: table },
  'AWS::Lambda::Function': {
    identify: named('FunctionName', 64, (name, { region, account }) => {
      const arn = `arn:aws:lambda:${region}:${account}:function:${name}`;
      return { physicalId: name, arn, attributes: { Arn: arn } };
    }),
    check: (property) => {
      for (const name of ['Layers', 'VpcConfig', 'FileSystemConfigs', 'ImageUri']) {
        const value = property(name);
        if (value !== undefined && !(Array.isArray(value) && value.length === 0)) {
          throw new Error(`${name} is not supported by the local stack`);
        }
      }
      if (property('PackageType') === 'Image') throw new Error('container images are not supported');
    },
  },
  'AWS::Lambda::Permission': { identify: withName },
  'AWS::Lambda::EventInvokeConfig': {
    identify: withName,
    check: (property) => {
      const destinations = Object.keys((property('DestinationConfig') as object | undefined) ?? {});
      if (destinations.length > 0) throw new Error('DestinationConfig is not supported by the local stack');
    },
  },
  'AWS::IAM::Role': {
    identify: named('RoleName', 64, (name, place, property) => {
      const arn = `arn:aws:iam::${place.account}:role${String(property('Path') ?? '/')}${name}`;
      const roleId = `AROA${digest(place).toString('hex').slice(0, 16).toUpperCase()}`;
      return { physicalId: name, arn, attributes: { Arn: arn, RoleId: roleId } };
    }),
  },
  'AWS::IAM::Policy': { identify: named('PolicyName', 128, (name) => ({ physicalId: name })) },
  'AWS::IAM::ManagedPolicy': {
    identify: named('ManagedPolicyName', 128, (name, { account }, property) => {
      const arn = `arn:aws:iam::${account}:policy${String(property('Path') ?? '/')}${name}`;
      return { physicalId: arn, arn, attributes: { PolicyArn: arn } };
    }),
  },
  'AWS::StepFunctions::StateMachine': {
    identify: named('StateMachineName', 80, (name, { region, account }) => {
      const arn = `arn:aws:states:${region}:${account}:stateMachine:${name}`;
      return { physicalId: arn, arn, attributes: { Arn: arn, Name: name } };
    }),
  },
  'AWS::Events::EventBus': {
    identify: named('Name', 256, (name, { region, account }) => {
      const arn = `arn:aws:events:${region}:${account}:event-bus/${name}`;
      return { physicalId: name, arn, attributes: { Arn: arn, Name: name } };
    }),
  },
  'AWS::Events::EventBusPolicy': { identify: withName },
  'AWS::Events::Rule': {
    identify: named('Name', 64, (name, { region, account }, property) => {
      const busProperty = property('EventBusName');
      const bus = typeof busProperty === 'string' ? (busProperty.split('/').at(-1) ?? 'default') : 'default';
      const path = bus === 'default' ? name : `${bus}/${name}`;
      const arn = `arn:aws:events:${region}:${account}:rule/${path}`;
      return { physicalId: bus === 'default' ? name : `${bus}|${name}`, arn, attributes: { Arn: arn } };
    }),
  },
  // Where events go whose function or target failed for good: a file for each queue.
  'AWS::SQS::Queue': {
    identify: named('QueueName', 80, (name, { region, account }) => {
      const arn = `arn:aws:sqs:${region}:${account}:${name}`;
      const url = `https://sqs.${region}.amazonaws.com/${account}/${name}`;
      return { physicalId: url, arn, attributes: { Arn: arn, QueueName: name, QueueUrl: url } };
    }),
  },
  'AWS::SQS::QueuePolicy': { identify: withName },
  'AWS::ApiGatewayV2::Api': {
    identify: (place) => {
      const id = generatedId(place);
      return {
        physicalId: id,
        arn: `arn:aws:apigateway:${place.region}::/apis/${id}`,
        attributes: { ApiId: id, ApiEndpoint: `https://${id}.execute-api.${place.region}.amazonaws.com` },
      };
    },
    check: (property) => {
      if (property('ProtocolType') !== 'HTTP') throw new Error('only HTTP APIs are supported locally');
    },
  },
  'AWS::ApiGatewayV2::Route': { identify: byId('RouteId') },
  'AWS::ApiGatewayV2::Integration': { identify: byId('IntegrationId') },
  'AWS::ApiGatewayV2::Authorizer': { identify: byId('AuthorizerId') },
  'AWS::ApiGatewayV2::Stage': {
    identify: (_, property) => ({ physicalId: String(property('StageName')) }),
  },

  'AWS::KMS::Alias': {
    identify: (_, property) => ({ physicalId: String(property('AliasName')) }),
    inert: 'a name for people',
  },
  'AWS::Logs::LogGroup': {
    identify: named('LogGroupName', 512, (name, { region, account }) => {
      const arn = `arn:aws:logs:${region}:${account}:log-group:${name}:*`;
      return { physicalId: name, arn, attributes: { Arn: arn } };
    }),
    inert: 'functions log into files; retention is not applied',
  },
  'AWS::Logs::MetricFilter': { identify: withName, inert: 'there are no metrics locally' },
  'AWS::Logs::QueryDefinition': { identify: withName, inert: 'a saved query of the CloudWatch console' },
  'AWS::Logs::ResourcePolicy': { identify: withName, inert: 'log delivery is not modelled' },
  'AWS::CloudWatch::Alarm': {
    identify: named('AlarmName', 255, (name, { region, account }) => {
      const arn = `arn:aws:cloudwatch:${region}:${account}:alarm:${name}`;
      return { physicalId: name, arn, attributes: { Arn: arn } };
    }),
    inert: 'there are no metrics locally',
  },
  'AWS::CloudWatch::CompositeAlarm': {
    identify: named('AlarmName', 255, (name, { region, account }) => {
      const arn = `arn:aws:cloudwatch:${region}:${account}:alarm:${name}`;
      return { physicalId: name, arn, attributes: { Arn: arn } };
    }),
    inert: 'there are no metrics locally',
  },
  'AWS::CloudWatch::Dashboard': { identify: withName, inert: 'there are no metrics locally' },
  'AWS::SNS::Topic': {
    identify: named('TopicName', 256, (name, { region, account }) => {
      const arn = `arn:aws:sns:${region}:${account}:${name}`;
      return { physicalId: arn, arn, attributes: { TopicArn: arn, TopicName: name } };
    }),
    inert: 'only alarms publish to it, and alarms do not fire locally',
  },
  'AWS::CloudTrail::Trail': { identify: withName, inert: 'the local call log tells of every call' },
  'AWS::SNS::TopicPolicy': { identify: withName, inert: 'only alarms publish to topics' },
  'AWS::SNS::Subscription': { identify: withName, inert: 'only alarms publish to topics' },
  'AWS::Events::Archive': { identify: withName, inert: 'the local event log keeps every event' },
  'AWS::CDK::Metadata': { identify: withName, inert: "CDK's own usage statistics" },
  'Custom::S3AutoDeleteObjects': { identify: withName, inert: 'acts only when the stack is deleted' },
  'Custom::LogRetention': { identify: withName, inert: 'functions log into files; retention is not applied' },
};

/** The type's entry; an error names what is unknown. */
export function resourceType(type: string): ResourceType {
  const known = resourceTypes[type];
  if (!known) {
    throw new Error(`the local stack does not know ${type}: add it to local/resource-types.ts`);
  }
  return known;
}

/** Types that may be in the template but do nothing locally, each with the reason. */
export function inertTypes(): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(resourceTypes).flatMap(([type, { inert }]) => (inert ? [[type, inert] as const] : [])),
  );
}
