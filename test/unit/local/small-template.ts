import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RawTemplate, resolveTemplate } from '../../../local/template.ts';
import type { LocalTemplate } from '../../../local/types.ts';

/** A function of a test: its code as an ES module, and template properties beyond the necessary ones. */
export interface TestFunction {
  readonly code: string;
  readonly properties?: Record<string, unknown>;
}

export const newFolder = (): string => mkdtempSync(join(tmpdir(), 'uploads-test-'));

/** A template with these functions, each with a role, and their code in a folder of its own. */
export function templateWith(
  functions: Record<string, TestFunction>,
  more: RawTemplate['Resources'] = {},
): LocalTemplate {
  const dir = newFolder();
  const resources: Record<string, RawTemplate['Resources'][string]> = { ...more };
  for (const [name, { code, properties }] of Object.entries(functions)) {
    mkdirSync(join(dir, name));
    writeFileSync(join(dir, name, 'index.mjs'), code);
    resources[`${name}Role`] = { Type: 'AWS::IAM::Role', Properties: {} };
    resources[name] = {
      Type: 'AWS::Lambda::Function',
      Properties: { Handler: 'index.handler', Role: { 'Fn::GetAtt': [`${name}Role`, 'Arn'] }, ...properties },
    };
  }
  return resolveTemplate(
    { Resources: resources },
    { stackName: 'Test', region: 'us-east-1' },
    ({ logicalId }) => join(dir, logicalId),
  );
}
