/**
 * A deployer's own app, for tests: a function is asked about each upload, content is looked at, and owners have quotas.
 *
 *     UPLOADS_APP=test/support/asking-app.ts npm start
 */
import { fileURLToPath } from 'node:url';
import { App, Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { loadConfig } from '../../infra/config.ts';
import { ResumableUploads } from '../../infra/resumable-uploads.ts';
import { addOutputs } from '../../infra/stack.ts';

const app = new App({ analyticsReporting: false });
const { stackName, stack: options } = loadConfig({
  context: app.node.getAllContext() as Record<string, unknown>,
  env: process.env,
  directory: process.cwd(),
});
const { auth, allowedOrigins, partSize, maxUploadsPerOwner } = options;

const stack = new Stack(app, stackName);
const authorize = new lambda.Function(stack, 'Authorize', {
  runtime: lambda.Runtime.NODEJS_24_X,
  handler: 'index.handler',
  code: lambda.Code.fromAsset(fileURLToPath(new URL('allow-all', import.meta.url))),
});
const uploads = new ResumableUploads(stack, 'Uploads', {
  ...(auth && { auth }),
  ...(allowedOrigins && { allowedOrigins }),
  ...(partSize && { partSize }),
  ...(maxUploadsPerOwner && { maxUploadsPerOwner }),
  authorizeUpload: authorize,
  checkContent: true,
});
addOutputs(stack, uploads);
app.synth();
