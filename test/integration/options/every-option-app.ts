/**
 * A deployer's own app, for tests: every option of the construct. With AUTH=iam it also brings along what the construct
 * would make.
 *
 *     UPLOADS_APP=test/integration/options/every-option-app.ts npm start
 */
import { App, Stack } from 'aws-cdk-lib';
import { UploadAuth } from '../../../infra/auth.ts';
import { ResumableUploads } from '../../../infra/resumable-uploads.ts';
import { addOutputs } from '../../../infra/stack.ts';
import { everyOption, everythingBrought } from '../../infra/every-option.ts';

const { AUTH, UPLOADS_LOCAL_URL } = process.env;
const app = new App({ analyticsReporting: false });
const stack = new Stack(app, String(app.node.tryGetContext('stackName')));
const options = everyOption(stack, `${UPLOADS_LOCAL_URL}/_local/issuer`);
const uploads = new ResumableUploads(
  stack,
  'Uploads',
  AUTH === 'iam' ? { ...options, ...everythingBrought(stack), auth: UploadAuth.iam() } : options,
);
addOutputs(stack, uploads);
app.synth();
