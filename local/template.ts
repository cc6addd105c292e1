import { readFileSync } from 'node:fs';
import { join, resolve as resolvePath } from 'node:path';
import { evaluateCondition, resolve, type Scope } from './intrinsics.ts';
import { type Identity, resourceType } from './resource-types.ts';
import type { LocalTemplate, Resource } from './types.ts';

interface RawResource {
  readonly Type: string;
  readonly Properties?: Record<string, unknown>;
  readonly Metadata?: Record<string, unknown>;
  readonly Condition?: string;
}

/** A CloudFormation template as CDK writes it. */
export interface RawTemplate {
  readonly Parameters?: Record<string, { readonly Type: string; readonly Default?: unknown }>;
  readonly Mappings?: Record<string, Record<string, Record<string, unknown>>>;
  readonly Conditions?: Record<string, unknown>;
  readonly Resources: Record<string, RawResource>;
  readonly Outputs?: Record<string, { readonly Value: unknown; readonly Condition?: string }>;
}

export interface TemplatePlace {
  readonly stackName: string;
  /** Twelve digits. @default '000000000000' */
  readonly account?: string;
  /** @default $AWS_REGION or 'us-east-1' */
  readonly region?: string;
}

interface Assembly {
  readonly artifacts?: Record<
    string,
    {
      readonly type: string;
      readonly properties?: { readonly templateFile?: string; readonly stackName?: string };
    }
  >;
}

interface AssetManifest {
  readonly files?: Record<
    string,
    {
      readonly source: { readonly path?: string };
      readonly destinations: Record<string, { readonly objectKey: string }>;
    }
  >;
}

/**
 * Reads a synthesised CDK app (`cdk.out`) and resolves one of its stacks for this machine.
 *
 * @param stackName needed only where the app has several stacks
 * @throws an Error that names the resource, for anything that the local stack does not understand
 */
export function loadTemplate(outDir: string, stackName?: string): LocalTemplate {
  const { artifacts = {} } = readJson<Assembly>(join(outDir, 'manifest.json'));
  const stacks = Object.entries(artifacts)
    .filter(([, artifact]) => artifact.type === 'aws:cloudformation:stack')
    .map(([id, { properties }]) => ({
      name: properties?.stackName ?? id,
      file: properties?.templateFile ?? '',
    }));
  const chosen = stacks.filter(({ name }) => stackName === undefined || name === stackName);
  const [stack, ...others] = chosen;
  if (!stack || others.length > 0) {
    const names = stacks.map(({ name }) => name).join(', ') || 'none';
    throw new Error(
      `${outDir}: cannot tell which stack to run (asked for ${stackName ?? 'the only one'}; has ${names})`,
    );
  }
  const assets = new Map<string, string>();
  for (const [id, artifact] of Object.entries(artifacts)) {
    if (artifact.type !== 'cdk:asset-manifest') continue;
    const { files = {} } = readJson<AssetManifest>(join(outDir, `${id}.json`));
    for (const { source, destinations } of Object.values(files)) {
      for (const { objectKey } of Object.values(destinations)) {
        if (source.path) assets.set(objectKey, resolvePath(outDir, source.path));
      }
    }
  }
  return resolveTemplate(
    readJson<RawTemplate>(join(outDir, stack.file)),
    { stackName: stack.name },
    (resource) => {
      const fromMetadata = resource.metadata['aws:asset:path'];
      if (typeof fromMetadata === 'string') return resolvePath(outDir, fromMetadata);
      const { S3Key } = (resource.properties.Code ?? {}) as { S3Key?: string };
      const path = S3Key === undefined ? undefined : assets.get(S3Key);
      if (!path) throw new Error(`${resource.logicalId}: its asset is not in ${outDir}`);
      return path;
    },
  );
}

/** Resolves a template for this machine: names and ARNs as AWS would give them, intrinsics replaced by values. */
export function resolveTemplate(
  raw: RawTemplate,
  place: TemplatePlace,
  assetPath: LocalTemplate['assetPath'],
): LocalTemplate {
  const { stackName, account = '000000000000', region = process.env.AWS_REGION || 'us-east-1' } = place;
  const pseudo: Record<string, unknown> = {
    'AWS::AccountId': account,
    'AWS::Region': region,
    'AWS::Partition': 'aws',
    'AWS::URLSuffix': 'amazonaws.com',
    'AWS::StackName': stackName,
    'AWS::StackId': `arn:aws:cloudformation:${region}:${account}:stack/${stackName}/local`,
    'AWS::NotificationARNs': [],
  };
  const identities = new Map<string, Identity>();
  const inProgress = new Set<string>();

  const scope: Scope = {
    mappings: raw.Mappings ?? {},
    ref: (name) => {
      if (name in pseudo) return pseudo[name];
      const parameter = raw.Parameters?.[name];
      if (!parameter) return identify(name).physicalId;
      if (parameter.Default === undefined || parameter.Type.startsWith('AWS::SSM::')) {
        throw new Error(`parameter ${name} (${parameter.Type}) has no value locally`);
      }
      return parameter.Type === 'CommaDelimitedList'
        ? String(parameter.Default).split(',')
        : parameter.Default;
    },
    attribute: (logicalId, attribute) => {
      const value = identify(logicalId).attributes?.[attribute];
      if (value === undefined) {
        throw new Error(`${logicalId}.${attribute}: the local stack does not know this attribute`);
      }
      return value;
    },
    condition: (name) => {
      const expression = raw.Conditions?.[name];
      if (expression === undefined) throw new Error(`there is no condition ${name}`);
      return evaluateCondition(expression, scope);
    },
  };

  const exists = ({ Condition }: { Condition?: string }) =>
    Condition === undefined || scope.condition(Condition);

  const property = (logicalId: string) => (name: string) =>
    resolve(raw.Resources[logicalId]?.Properties?.[name], scope);

  function identify(logicalId: string): Identity {
    const known = identities.get(logicalId);
    if (known) return known;
    const resource = raw.Resources[logicalId];
    if (!resource || !exists(resource)) throw new Error(`there is no resource or parameter ${logicalId}`);
    if (inProgress.has(logicalId)) throw new Error(`${logicalId}: its name depends on itself`);
    inProgress.add(logicalId);
    const identity = resourceType(resource.Type).identify(
      { stackName, account, region, logicalId },
      property(logicalId),
    );
    inProgress.delete(logicalId);
    identities.set(logicalId, identity);
    return identity;
  }

  const resources = new Map<string, Resource>();
  for (const [logicalId, resource] of Object.entries(raw.Resources)) {
    try {
      if (!exists(resource)) continue;
      resourceType(resource.Type).check?.(property(logicalId));
      const { physicalId, arn } = identify(logicalId);
      resources.set(logicalId, {
        logicalId,
        type: resource.Type,
        properties: (resolve(resource.Properties, scope) ?? {}) as Record<string, unknown>,
        metadata: resource.Metadata ?? {},
        physicalId,
        arn,
      });
    } catch (cause) {
      throw new Error(`${logicalId} (${resource.Type}): ${(cause as Error).message}`, { cause });
    }
  }

  const outputs = new Map<string, string>();
  for (const [name, output] of Object.entries(raw.Outputs ?? {})) {
    try {
      if (exists(output)) outputs.set(name, String(resolve(output.Value, scope)));
    } catch (cause) {
      throw new Error(`output ${name}: ${(cause as Error).message}`, { cause });
    }
  }

  const byType = Map.groupBy(resources.values(), ({ type }) => type);
  return {
    stackName,
    account,
    region,
    resources,
    outputs,
    byType: (type) => byType.get(type) ?? [],
    assetPath,
  };
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8')) as T;
}
