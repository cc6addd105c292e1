/**
 * Uploads that a function of yours allows one by one. Run it on this machine:
 *
 *     UPLOADS_APP=examples/authorize-upload/app.ts npm start
 */
import { fileURLToPath } from 'node:url';
import { App, Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
// In an app of yours ResumableUploads comes from 'resumable-uploads'. The other two are this project's own: they read the
// local stack's options, and add the outputs that it looks for.
import { loadConfig } from '../../infra/config.ts';
import { ResumableUploads } from '../../infra/resumable-uploads.ts';
import { addOutputs } from '../../infra/stack.ts';

const app = new App({ analyticsReporting: false });
// The same options as the command line's app, as far as the construct has them.
const { stackName, stack: options } = loadConfig({
  context: app.node.getAllContext() as Record<string, unknown>,
  env: process.env,
  directory: process.cwd(),
});
const { auth, allowedOrigins, partSize } = options;

const stack = new Stack(app, stackName);
const authorize = new lambda.Function(stack, 'Authorize', {
  runtime: lambda.Runtime.NODEJS_24_X,
  handler: 'index.handler',
  code: lambda.Code.fromAsset(fileURLToPath(new URL('authorize', import.meta.url))),
});
const uploads = new ResumableUploads(stack, 'Uploads', {
  ...(auth && { auth }),
  ...(allowedOrigins && { allowedOrigins }),
  ...(partSize && { partSize }),
  authorizeUpload: authorize,
});
addOutputs(stack, uploads);
app.synth();
