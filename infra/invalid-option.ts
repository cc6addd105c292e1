/**
 * An option that cannot be deployed as given. The message names the option, says why, and says what to write
 * instead; the command line prints it alone, without a stack trace.
 */
export class InvalidOption extends Error {
  override readonly name = 'InvalidOption';
}
