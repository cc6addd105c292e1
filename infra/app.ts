import { readFileSync } from 'node:fs';
import { App } from 'aws-cdk-lib';
import { loadConfig } from './config.ts';
import { InvalidOption } from './invalid-option.ts';
import { ResumableUploadsStack } from './stack.ts';

/**
 * The app of cdk.json. Without the `cdk` command (the local stack runs this file itself) nobody reads that
 * file's context, so it is read here: what runs locally is synthesised under the same flags as what deploys.
 */
function synthesise(): void {
  const cdkJson = readFileSync(new URL('../cdk.json', import.meta.url), 'utf8');
  const { context } = JSON.parse(cdkJson) as { readonly context: Record<string, unknown> };
  // Reporting would add a resource and conditions to the template that are not about uploads.
  const app = new App({
    context: { ...context, ...METADATA },
    analyticsReporting: false,
    // By itself an app synthesises when the process ends: also one whose options were just refused.
    autoSynth: false,
    // Takes a second, and is about what is deployed.
    builtinCloudFormationValidation: process.env['UPLOADS_LOCAL'] !== '1',
  });
  const config = loadConfig({
    context: app.node.getAllContext() as Record<string, unknown>,
    env: process.env,
    directory: process.cwd(),
  });
  new ResumableUploadsStack(app, config.stackName, config.stack);
  app.synth();
}

/** What the `cdk` command asks for by itself: where assets lie, and which construct a resource comes from. */
const METADATA = { 'aws:cdk:enable-asset-metadata': true, 'aws:cdk:enable-path-metadata': true };

try {
  synthesise();
} catch (error) {
  if (!(error instanceof InvalidOption)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
