import { readFileSync } from 'node:fs';
import { afterAll, jest } from '@jest/globals';
import { App, type Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { loadConfig } from '../../infra/config.ts';
import { ResumableUploadsStack, type UploadsStackProps } from '../../infra/stack.ts';

export interface Resource {
  readonly Type: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- a template's properties have as many shapes as AWS has resources
  readonly Properties: any;
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
}

/** The flags under which the app deploys, without the validation and the copies of what a test never deploys. */
export function testApp(): App {
  const { context } = JSON.parse(readFileSync(new URL('../../cdk.json', import.meta.url), 'utf8')) as {
    readonly context: Record<string, unknown>;
  };
  return new App({
    context: { ...context, 'aws:cdk:disable-asset-staging': true },
    analyticsReporting: false,
    builtinCloudFormationValidation: false,
  });
}

/** For files whose stacks CDK warns of, as it should: it prints each warning. */
export function withoutPrintedWarnings(): void {
  const printed = jest.spyOn(console, 'error').mockImplementation((text) => {
    if (!String(text).startsWith('WARNING')) throw new Error(String(text));
  });
  afterAll(() => printed.mockRestore());
}

/** The template of a stack with these options. `Template` also refuses resources that depend on each other in a ring. */
export function synthesise(options: UploadsStackProps = {}, stackName = 'ResumableUploads'): Synthesised {
  const stack = new ResumableUploadsStack(testApp(), stackName, options);
  return new Synthesised(stack, Template.fromStack(stack));
}

/** Options as they are written in a file or on the command line. */
export const written = (context: Readonly<Record<string, unknown>>): UploadsStackProps =>
  loadConfig({ context, env: {}, directory: import.meta.dirname }).stack;

export class Synthesised {
  readonly stack: Stack;
  readonly template: Template;
  readonly resources: Readonly<Record<string, Resource>>;

  constructor(stack: Stack, template: Template) {
    this.stack = stack;
    this.template = template;
    this.resources = (template.toJSON() as { Resources: Record<string, Resource> }).Resources;
  }

  byType(type: string): Resource[] {
    return Object.values(this.resources).filter((resource) => resource.Type === type);
  }

  only(type: string): Resource {
    const [resource, ...others] = this.byType(type);
    if (!resource || others.length > 0)
      throw new Error(`There are ${others.length + (resource ? 1 : 0)} of ${type}.`);
    return resource;
  }

  /** A function by its name, for example `receive-chunk`. */
  fn(name: string): Resource {
    const found = this.byType('AWS::Lambda::Function').find(
      ({ Properties }) => Properties.Environment.Variables.POWERTOOLS_SERVICE_NAME === name,
    );
    if (!found) throw new Error(`There is no function ${name}.`);
    return found;
  }

  /** The statements of a role's policies, each action on its own: `s3:PutObject on Bucket/uploads/*`. */
  allowed(role: unknown): string[] {
    const roleId = (role as { 'Fn::GetAtt': [string, string] })['Fn::GetAtt'][0];
    return this.byType('AWS::IAM::Policy')
      .filter(({ Properties }) => Properties.Roles.some(({ Ref }: { Ref?: string }) => Ref === roleId))
      .flatMap(({ Properties }) => Properties.PolicyDocument.Statement as Statement[])
      .flatMap(({ Effect, Action, Resource, Condition }) => {
        if (Effect !== 'Allow') throw new Error(`${roleId} has a statement that does not allow.`);
        const when = Condition ? ` when ${JSON.stringify(Condition)}` : '';
        return [Action]
          .flat()
          .flatMap((action) => [Resource].flat().map((one) => `${action} on ${readable(one)}${when}`));
      })
      .sort();
  }
}

export interface Statement {
  readonly Effect: string;
  readonly Action: string | string[];
  readonly Resource: unknown;
  readonly Condition?: unknown;
}

/** A template's value as a person would write it: logical ids without what CDK adds, ARNs by what they end in. */
export function readable(value: unknown): string {
  if (typeof value === 'string') return value;
  const node = value as Record<string, unknown>;
  if ('Fn::Join' in node) {
    const [delimiter, items] = node['Fn::Join'] as [string, unknown[]];
    return items.map(readable).join(delimiter);
  }
  if ('Fn::GetAtt' in node) {
    const [id, attribute] = node['Fn::GetAtt'] as [string, string];
    return attribute === 'Arn' ? plain(id) : `${plain(id)}.${attribute}`;
  }
  if ('Ref' in node) return plain(String(node['Ref']));
  return JSON.stringify(value);
}

const plain = (logicalId: string): string =>
  logicalId.startsWith('AWS::')
    ? `<${logicalId.slice(5)}>`
    : logicalId.replace(/^Uploads/, '').replace(/[0-9A-F]{8}$/, '');
