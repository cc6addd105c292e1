import { describe, expect, test } from '@jest/globals';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { ResumableUploads, type ResumableUploadsProps } from '../../infra/resumable-uploads.ts';
import { everyOption, everythingBrought } from './every-option.ts';
import { synthesise, testApp, withoutPrintedWarnings, written } from './synthesised.ts';
import { ALL_WRITTEN } from './written-options.ts';

withoutPrintedWarnings();

type Options = Required<ResumableUploadsProps>;

/** What the construct makes with some of the options. What is brought along is in the same stack, beside it. */
function madeWith(choose: (options: Options) => ResumableUploadsProps): Record<string, unknown> {
  const stack = new Stack(testApp(), 'Test');
  const options = { ...everyOption(stack), ...everythingBrought(stack) };
  new ResumableUploads(stack, 'Uploads', choose(options));
  const { Resources } = Template.fromStack(stack).toJSON() as { Resources: Record<string, unknown> };
  return Object.fromEntries(Object.entries(Resources).filter(([id]) => id.startsWith('Uploads')));
}

describe('each option of the construct, by itself, changes what is made', () => {
  const byDefault = madeWith(() => ({}));
  const stack = new Stack(testApp(), 'Test');
  const names = Object.keys({ ...everyOption(stack), ...everythingBrought(stack) }) as (keyof Options)[];

  test.each(names)(
    '%s',
    (name) => {
      expect(madeWith((options) => ({ [name]: options[name] }))).not.toEqual(byDefault);
    },
    120_000,
  );
});

describe('each option that can be written in a file, by itself, changes what is made', () => {
  const byDefault = synthesise().resources;

  test.each(Object.entries(ALL_WRITTEN))(
    '%s',
    (name, value) => {
      expect(synthesise(written({ [name]: value })).resources).not.toEqual(byDefault);
    },
    120_000,
  );
});
